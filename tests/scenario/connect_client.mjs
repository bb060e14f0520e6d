// The official TypeScript client over stdio: lists, calls one after the other and at once, and prints what it got.
import { pathToFileURL } from "node:url";

const [library, tool, command, ...args] = process.argv.slice(2);
const { Client } = await import(pathToFileURL(`${library}/client/index.js`));
const { StdioClientTransport } = await import(pathToFileURL(`${library}/client/stdio.js`));
const client = new Client({ name: "connect-test", version: "1" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const tools = (await client.listTools()).tools.map((one) => one.name);
const call = async (word) => (await client.callTool({ name: tool, arguments: { word } })).content[0].text;
const texts = [await call("n0")];
texts.push(...(await Promise.all(Array.from({ length: 8 }, (_, number) => call(`n${number + 1}`)))));
await client.close();
console.log(JSON.stringify({ tools, texts }));

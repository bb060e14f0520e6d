// Loaded before the conformance suite (`node --import`): gives every request to one origin the headers in
// CONFORMANCE_HEADERS. The suite has no option for this, and a proxy in between would change what it measures.
import http from "node:http";
import { createRequire } from "node:module";

const origin = new URL(process.env.CONFORMANCE_ORIGIN).origin;
const extra = Object.entries(JSON.parse(process.env.CONFORMANCE_HEADERS));
const here = (url) => new URL(url).origin === origin;

// The suite asks in three ways: fetch, undici's own request, and node:http.
const fetched = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const request = new Request(input, init);
  if (!here(request.url)) return fetched(request);
  for (const [name, value] of extra) if (!request.headers.has(name)) request.headers.set(name, value);
  return fetched(request);
};

const undici = createRequire(process.env.CONFORMANCE_SUITE)("undici");
const withHeaders = (headers) => {
  const list = Array.isArray(headers) ? [...headers] : Object.entries(headers ?? {}).flat();
  const names = list.filter((_, at) => at % 2 === 0).map((name) => String(name).toLowerCase());
  for (const [name, value] of extra) if (!names.includes(name.toLowerCase())) list.push(name, value);
  return list;
};
undici.setGlobalDispatcher(
  new undici.Agent().compose((dispatch) => (options, handler) =>
    dispatch(here(options.origin) ? { ...options, headers: withHeaders(options.headers) } : options, handler)),
);

const asked = http.request;
http.request = (options, ...rest) => {
  if (typeof options === "object" && here(`http://${options.hostname ?? options.host}:${options.port ?? 80}`)) {
    return asked({ ...options, headers: { ...Object.fromEntries(extra), ...options.headers } }, ...rest);
  }
  return asked(options, ...rest);
};

// A real OpenID provider (panva/node-oidc-provider) for the login test. Prints {"url": …} once it listens.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [library, back] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(library));
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, {
    clients: [{
      client_id: "jittrust",
      client_secret: "a secret: of %20 the test",
      redirect_uris: [back],
      token_endpoint_auth_method: "client_secret_basic",
    }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    async findAccount(_, id) {
      return { accountId: id, claims: async () => ({ sub: id, email: `${id}@example.org`, email_verified: true, name: id }) };
    },
  });
  server.on("request", provider.callback());
  console.log(JSON.stringify({ url }));
});

// npm oauth4webapi as it comes, several calls at once with one DPoP handle: prints its thumbprint, reads the token, calls, prints what came of it.
// node bench/peers/stock_node.mjs MODULE URL CALLS CALLERS IDLE
import { createInterface } from 'node:readline'

const [module, url, calls, callers, idle] = process.argv.slice(2)
const oauth = await import(module)
const pair = await oauth.generateKeyPair('ES256', { extractable: true })
const DPoP = oauth.DPoP({ client_id: 'stock' }, pair)
console.log(JSON.stringify({ jkt: await DPoP.calculateThumbprint() }))
const lines = createInterface({ input: process.stdin })
const { token } = JSON.parse((await lines[Symbol.asyncIterator]().next()).value)

const TRIES = 20
const told = { first: 0, again: 0 }
const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'stock', version: '1' },
}
let number = 0

function post(id) {
  const headers = new Headers({
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': 'echo',
  })
  const params = { _meta: meta, name: 'echo', arguments: { text: `stock ${id}` } }
  const body = JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params })
  const options = { DPoP, [oauth.allowInsecureRequests]: true }
  return oauth.protectedResourceRequest(token, 'POST', new URL(url), headers, body, options)
}

async function call(id) {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    let found
    try {
      // As its documentation shows: a challenge is answered once, with the nonce that came with it.
      const answer = await post(id).catch((error) => {
        if (oauth.isDPoPNonceError(error)) return post(id)
        throw error
      })
      const text = await answer.text()
      found = answer.status === 200 && !text.includes(`stock ${id}`) ? 'refused' : String(answer.status)
    } catch (error) {
      found = oauth.isDPoPNonceError(error) ? '401' : error?.status ? String(error.status) : `error ${error?.code ?? error}`
    }
    const name = found === '401' && attempt + 1 < TRIES ? 'again' : found
    told[name] = (told[name] ?? 0) + 1
    if (attempt === 0 && found === '200') told.first++
    if (found !== '401') return
  }
}

const each = Math.floor(Number(calls) / Number(callers))
if (Number(idle)) {
  for (let round = 0; round < each; round++) {
    await new Promise((done) => setTimeout(done, Math.random() * Number(idle) * 1000))
    await Promise.all(Array.from({ length: Number(callers) }, () => call(number++)))
  }
} else {
  await Promise.all(
    Array.from({ length: Number(callers) }, async () => {
      for (let done = 0; done < each; done++) await call(number++)
    }),
  )
}
console.log(JSON.stringify(told))
process.exit(0)

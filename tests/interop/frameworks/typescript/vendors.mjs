// A stand-in for the vendors of models, whose API each framework is told to find here: it refuses all, and keeps the tools.

import { createServer } from 'node:http'

/** APIs at `url/VENDOR`, by whatever path a vendor's SDK adds to that. */
export async function startVendors() {
  let asked = {}
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const part of request) text += part
    asked[request.url.split('/')[1]] = JSON.parse(text).tools ?? []
    // No SDK asks again after this.
    response.writeHead(400, { 'content-type': 'application/json' }).end('{}')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** The tools that each vendor was told of since the last time. */
    take() {
      const taken = asked
      asked = {}
      return taken
    },
  }
}

/** Waits until a model has been asked, which it refuses; that it was asked is for the stand-in to say. */
export async function refused(ask) {
  await Promise.resolve()
    .then(ask)
    .catch((error) => console.error(`${error.name}: ${error.message.slice(0, 300)}`))
}

// A proxy that signs its requests: the suites send no token. But for the query it changes nothing else, so that Host and Origin
// reach the server as they were sent; it doesn't buffer; and it leaves the server as soon as the client leaves it.

import http from 'node:http'

/**
 * Starts a proxy on a free port of this machine, in front of the server at `upstream`. It adds a query to each URL, since the
 * suites drop that of their own in places.
 */
export async function startProxy(upstream, token, query) {
  const { hostname, port } = new URL(upstream)
  const proxy = http.createServer((request, response) => {
    const headers = [...request.rawHeaders, 'Authorization', `Bearer ${token}`]
    const onward = http.request({ hostname, port, method: request.method, path: request.url + query, headers, agent: false })
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, answer.rawHeaders)
      // A stream may say nothing for long after its headers.
      response.flushHeaders()
      answer.on('error', () => response.destroy()).pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  await new Promise((resolve, reject) => proxy.once('error', reject).listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    stop() {
      proxy.close()
      proxy.closeAllConnections()
    },
  }
}

// WebSockets over HTTP/2 (RFC 8441) by node's http2, as a client and as a server. Frames are made and read here, by RFC 6455 section 5.
//
//   node websocket.js call URL CA PATH...   has each path's server echo and close, and prints what came; CA is a file, or empty
//   node websocket.js serve                 echoes over HTTP/2 in clear text, at a port of 127.0.0.1 that it prints, until its standard input ends
'use strict'
const http2 = require('http2')
const crypto = require('crypto')
const fs = require('fs')
const { once } = require('events')

const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10

// Socket is an end of a WebSocket on a stream. It gives messages and the other side's goodbye in the order in which they come.
class Socket {
  constructor(stream, masks) {
    Object.assign(this, { stream, masks, rest: Buffer.alloc(0), parts: [], kind: 0, got: [], wake: () => {} })
    stream.on('data', (b) => { this.rest = Buffer.concat([this.rest, b]); while (this.frame()); })
    stream.on('end', () => this.give({ end: true }))
    stream.on('error', (err) => this.give({ end: true, err }))
  }

  give(m) { this.got.push(m); this.wake() }

  async next() {
    while (this.got.length === 0) await new Promise((done) => { this.wake = done })
    return this.got.shift()
  }

  // frame takes one frame off what has come.
  frame() {
    const b = this.rest
    if (b.length < 2) return false
    let n = b[1] & 127, at = 2
    if (n === 126) { if (b.length < 4) return false; n = b.readUInt16BE(2); at = 4 }
    else if (n === 127) { if (b.length < 10) return false; n = Number(b.readBigUInt64BE(2)); at = 10 }
    const mask = b[1] & 128 ? b.subarray(at, at += 4) : null
    if (b.length < at + n) return false
    const data = Buffer.from(b.subarray(at, at + n))
    if (mask) for (let i = 0; i < n; i++) data[i] ^= mask[i & 3]
    this.rest = b.subarray(at + n)
    const kind = b[0] & 15
    if (kind === PING) this.send(PONG, data)
    else if (kind === CLOSE) this.give({ code: n > 1 ? data.readUInt16BE(0) : 1005, reason: data.subarray(2).toString() })
    else if (kind !== PONG) {
      this.kind = kind || this.kind
      this.parts.push(data)
      if (b[0] & 128) { this.give({ kind: this.kind, data: Buffer.concat(this.parts) }); this.parts = [] }
    }
    return true
  }

  send(kind, data) {
    const head = Buffer.alloc(14)
    let at = 2
    head[0] = 128 | kind
    if (data.length < 126) head[1] = data.length
    else if (data.length < 65536) { head[1] = 126; head.writeUInt16BE(data.length, 2); at = 4 }
    else { head[1] = 127; head.writeBigUInt64BE(BigInt(data.length), 2); at = 10 }
    if (this.masks) {
      const mask = crypto.randomBytes(4)
      head[1] |= 128
      mask.copy(head, at)
      at += 4
      data = Buffer.from(data)
      for (let i = 0; i < data.length; i++) data[i] ^= mask[i & 3]
    }
    this.stream.write(Buffer.concat([head.subarray(0, at), data]))
  }

  close(code, reason) {
    const data = Buffer.alloc(2)
    data.writeUInt16BE(code)
    this.send(CLOSE, Buffer.concat([data, Buffer.from(reason)]))
  }
}

async function echo(socket) {
  for (let said = false; ;) {
    const m = await socket.next()
    if (m.end) return
    if (m.code) {
      if (!said) socket.close(m.code, m.reason)
      socket.stream.end()
      return
    }
    if (m.data.equals(Buffer.from('bye'))) {
      said = true
      socket.close(4001, 'that is all')
    }
    else socket.send(m.kind, m.data)
  }
}

function serve() {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } })
  server.on('stream', (stream, h) => {
    stream.on('error', () => {})
    stream.respond({ ':status': 200 })
    if (h[':method'] === 'CONNECT' && h[':protocol'] === 'websocket') echo(new Socket(stream, false))
    else stream.end('page')
  })
  server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port))
  process.stdin.resume()
  process.stdin.on('end', () => process.exit(0))
}

async function call(url, ca, paths) {
  const session = http2.connect(url, ca ? { ca: fs.readFileSync(ca) } : {})
  await once(session, 'remoteSettings')
  console.log('offered', session.remoteSettings.enableConnectProtocol)
  const ask = async (fields, options) => {
    const r = session.request(fields, options)
    const [h] = await once(r, 'response')
    return [r, h[':status']]
  }
  const page = async (path) => {
    const [r, status] = await ask({ ':path': path })
    r.resume()
    await once(r, 'end')
    return status
  }
  const connect = (path, protocol = 'websocket') => ask({ ':method': 'CONNECT', ':protocol': protocol, ':path': path, 'sec-websocket-version': '13' }, { endStream: false })
  const open = async (path) => {
    const [r, status] = await connect(path)
    if (status !== 200) throw new Error(`${path}: ${status}`)
    return new Socket(r, true)
  }
  const echoed = async (s, n) => {
    const data = crypto.randomBytes(n)
    s.send(BINARY, data)
    const m = await s.next()
    return m.kind === BINARY && m.data.equals(data)
  }
  for (const path of paths) {
    const first = await open(path)
    first.send(TEXT, Buffer.from('grüße'))
    console.log('text', (await first.next()).data.toString())
    const sizes = []
    for (const n of [0, 1, 125, 126, 65535, 65536, 1 << 20]) if (await echoed(first, n)) sizes.push(n)
    console.log('echoes', sizes.join())
    console.log('page beside it', await page(path))
    first.close(4000, 'done')
    const answer = await first.next()
    first.stream.end()
    console.log('closed by us', answer.code, answer.reason, (await first.next()).end)

    const second = await open(path)
    second.send(TEXT, Buffer.from('bye'))
    const bye = await second.next()
    second.close(bye.code, '')
    second.stream.end()
    console.log('closed by the server', bye.code, bye.reason, (await second.next()).end)

    const third = await open(path)
    await echoed(third, 10)
    third.stream.close(http2.constants.NGHTTP2_CANCEL)
    const many = await Promise.all([...Array(50).keys()].map(async () => {
      const s = await open(path)
      const ok = await echoed(s, 20000)
      s.close(1000, '')
      await s.next()
      s.stream.end()
      return ok
    }))
    console.log('at once', many.filter((ok) => ok).length)
    const [other, status] = await connect(path, 'chat')
    other.resume()
    console.log('another protocol', status)
  }
  session.close()
}

if (process.argv[2] === 'serve') serve()
else call(process.argv[3], process.argv[4], process.argv.slice(5)).catch((err) => { console.error(err); process.exit(1) })

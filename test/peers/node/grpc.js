// gRPC's JavaScript implementation as a client and as a server.
//
//   node grpc.js call ADDRESS   makes calls of all kinds, and prints what each has come to
//   node grpc.js serve          listens on a port of 127.0.0.1, which it prints, until its standard input ends
'use strict'
const grpc = require('@grpc/grpc-js')
const loader = require('@grpc/proto-loader')

const proto = grpc.loadPackageDefinition(loader.loadSync(__dirname + '/test.proto')).grpc.testing
const size = 100_000

const payload = (n) => ({ body: Buffer.alloc(n) })

function serve() {
  const server = new grpc.Server()
  const answer = (parameters = []) => parameters.map((p) => ({ payload: payload(p.size) }))
  server.addService(proto.TestService.service, {
    emptyCall: (call, done) => done(null, {}),
    unaryCall: (call, done) => done(null, { payload: payload(call.request.responseSize) }),
    streamingOutputCall: (call) => {
      for (const a of answer(call.request.responseParameters)) call.write(a)
      call.end()
    },
    streamingInputCall: (call, done) => {
      let n = 0
      call.on('data', (m) => { n += m.payload.body.length })
      call.on('end', () => done(null, { aggregatedPayloadSize: n }))
    },
    fullDuplexCall: (call) => {
      call.on('data', (m) => { for (const a of answer(m.responseParameters)) call.write(a) })
      call.on('end', () => call.end())
    },
  })
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (err, port) => {
    if (err) throw err
    console.log(`127.0.0.1:${port}`)
  })
  process.stdin.resume()
  process.stdin.on('end', () => process.exit(0))
}

async function call(address) {
  const client = new proto.TestService(address, grpc.credentials.createInsecure())
  const deadline = () => ({ deadline: Date.now() + 10_000 })
  const one = (method, message) => new Promise((done, failed) => {
    client[method](message, deadline(), (err, answer) => (err ? failed(err) : done(answer)))
  })
  const many = (stream) => new Promise((done, failed) => {
    const sizes = []
    stream.on('data', (m) => sizes.push(m.payload.body.length))
    stream.on('error', failed)
    stream.on('end', () => done(sizes.join()))
  })
  await one('emptyCall', {})
  console.log('empty')
  console.log('unary', (await one('unaryCall', { responseSize: size, payload: payload(size) })).payload.body.length)
  console.log('upload', await new Promise((done, failed) => {
    const s = client.streamingInputCall(deadline(), (err, a) => (err ? failed(err) : done(a.aggregatedPayloadSize)))
    for (let i = 0; i < 5; i++) s.write({ payload: payload(size) })
    s.end()
  }))
  const parameters = [{ size: 1 }, { size }, { size: 2 }]
  console.log('download', await many(client.streamingOutputCall({ responseParameters: parameters }, deadline())))
  const both = client.fullDuplexCall(deadline())
  const got = many(both)
  for (const p of parameters) both.write({ responseParameters: [p], payload: payload(10) })
  both.end()
  console.log('both', await got)
  console.log('status', await one('unimplementedCall', {}).then(() => 'none', (err) => err.code))
  client.close()
}

if (process.argv[2] === 'serve') serve()
else call(process.argv[3]).catch((err) => { console.error(err); process.exit(1) })

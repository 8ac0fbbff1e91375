# frozen_string_literal: true

# Every kind of request and response while the garbage collector runs at each allocation: what the native side does not
# hold on to is gone before it is used.

RSpec.describe "a server with a collector that runs all the time", :processes do
  big = Array.new(20) { |number| ["x-#{number}-#{"n" * 40}", "#{number} " * 50] }.to_h

  # What each path of fixtures/gc_stress.ru is asked, and what has to come back: { name => [request, checks] }.
  kinds = {
    "a body of one part" => [["GET", "/one"], { body: "one part" }],
    "a body of parts" => [["GET", "/parts"], { body: "part 0;part 1;part 2;part 3;part 4;" }],
    "a body that yields" => [["GET", "/each"], { body: "part 0;part 1;part 2;part 3;part 4;" }],
    "a large body" => [["GET", "/large"], { body: "large " * 5000 }],
    "a body of large parts and small ones" => [["GET", "/large-parts"], { body: "#{"a" * 20_000}bc#{"d" * 30_000}#{"e" * 20_000}" }],
    "HEAD of large parts" => [["HEAD", "/large-parts"], { length: "70002" }],
    "a body that yields large strings" => [["GET", "/large-each"], { body: ("a" * 20_000) + ("b" * 20_000) }],
    "a body that is called" => [["GET", "/call"], { body: "part 0;part 1;part 2;part 3;part 4;" }],
    "a body that is a file" => [["GET", "/file"], { body: File.binread(File.join(ServerProcess::FIXTURES, "gc_stress.ru")) }],
    "no body" => [["GET", "/empty"], { status: 204, body: "" }],
    "HEAD" => [["HEAD", "/one"], { length: "8" }],
    "a post in memory" => [["POST", "/echo", { "x-one" => "1" }, "a\nbc\xFF".b], { body: "a\nbc\xFF".b }],
    "a post in a file" => [["POST", "/echo", {}, "0123456789" * 5000], { body: "0123456789" * 5000 }],
    "a post read in lines" => [["POST", "/lines", {}, "line\nabcdef"], { body: "line\nabcdef" }],
    "many long headers, both ways" => [["GET", "/headers", big], { body: "20", headers: big.transform_values { |value| [value.strip] } }],
    "odd header values" => [["GET", "/cookies"], { headers: { "set-cookie" => %w[a=1 b=2], "x-symbol" => %w[value], "x-list" => %w[1 2] } }],
    "a connection that the app takes" => [["GET", "/hijack"], { body: "hijacked" }],
    "a connection that the app takes behind the head" => [["GET", "/partial"], { body: "hijacked" }],
    "callbacks" => [["GET", "/finished"], { body: "finished" }],
    "hints" => [["GET", "/hints"], { status: 103, headers: { "link" => %w[</a.css> </b.css>] } }],
    "an offer of protocols" => [["GET", "/protocol", { "connection" => "upgrade", "upgrade" => "a, b/1" }], { body: "a+b/132" }],
    "an app that raises" => [["GET", "/raise"], { status: 500 }],
    "an app that returns nothing" => [["GET", "/nothing"], { status: 500 }],
    "a header that cannot be sent" => [["GET", "/bad-header"], { status: 500 }],
    "a body that raises" => [["GET", "/cut"], { cut: "begun" }]
  }

  def check(wire, request, status: 200, body: nil, length: nil, headers: {}, cut: nil)
    method, path, sent, posted = request
    if cut
      expect { wire.ask(method, path) }.to raise_error(HTTPResponse::Cut) { |error| expect(error.partial.to_s).to include(cut) }
      return
    end
    response = wire.ask(method, path, sent || {}, body: posted)
    expect(response.status).to eq(status)
    expect(response.body).to eq(body) if body
    expect(response["content-length"]).to eq(length) if length
    expect(response.headers).to include(headers)
  end

  [[], ["--stream-input"]].each do |options|
    it "answers each kind of request, several times over, and lives#{", with #{options.first}" if options.any?}", :stress do
      process = serve("gc_stress.ru", "--body-memory-limit", 1000, "--threads", "2:2", "--early-hints", "--request-id", "-v", *options,
                      env: { "RUBYOPT" => "" })
      expect(process.get("/stress").body).to eq("true")
      collections = Array.new(2) { process.get("/count").body.to_i }
      expect(collections.last - collections.first).to be > 10 # in one request

      2.times do
        kinds.each do |name, (request, checks)|
          process.connect { |wire| check(wire, request, **checks) }
        rescue RSpec::Expectations::ExpectationNotMetError, HTTPResponse::Cut, Patience::Over => error
          raise error.class, "#{name}: #{error.message}"
        end
      end
      # Several at a time, each thread with allocations of its own.
      wires = Array.new(4) { |number| process.connect.tap { |wire| wire.request("POST", "/echo", body: "#{number}" * 2000) } }
      expect(wires.map { |wire| wire.response.body }).to eq(Array.new(4) { |number| "#{number}" * 2000 })

      process.signal(:TERM)
      expect(process.exit_status).to eq(0)
      expect(process.stderr.to_s).not_to match(/\[BUG\]|panicked/)
    end
  end

  # What was freed is overwritten at once, as hardened allocators and jemalloc's junk do it. A block of magnus' was read after
  # that, once for each body with `each`: "double free or corruption" after about ten requests.
  it "reads nothing that was freed" do
    process = serve("gc_stress.ru", "--threads", "2:2", env: { "MALLOC_PERTURB_" => "255" })
    process.connect do |wire|
      50.times { expect(wire.get("/each").body).to eq("part 0;part 1;part 2;part 3;part 4;") }
      50.times { expect(wire.get("/deflated", "accept-encoding" => "gzip")["content-encoding"]).to eq("gzip") }
    end
    process.signal(:TERM)

    expect(process.exit_status).to eq(0)
    expect(process.stderr.to_s).to eq("")
  end
end

# frozen_string_literal: true

# What comes of bytes on a connection to a running server, plain and encrypted, by the table that the core's own tests have too:
# spec/corpus.

RSpec.describe "spec/corpus" do
  # Sent behind a message whose connection is to stay: it is answered, and ends it.
  following = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

  before(:context) do
    @app = Corpus::App.new
    @servers = Hash.new do |servers, settings|
      servers[settings] = Tidegate::Server.new(@app, bind: ["tcp://127.0.0.1:0", Certificates.bind], silent: true, **settings).start
    end
  end

  after(:context) do
    @servers.each_value(&:stop)
    @servers.each_value { |server| server.join(Patience::SECONDS) or raise Patience::Over, "a server to stop" }
  end

  # Reads an answer, and compares it with what it has to be.
  def read_answer(wire, expected)
    return expect(wire.read_until("\r\n\r\n")).to start_with("HTTP/1.1 #{expected.status} ") if expected.status < 200

    response = wire.response(head: expected.head?)
    expect(response.status).to eq(expected.status)
    expected.words.each { |word| expect(has?(response, word)).to be(true), "not #{word}: #{response.version} #{response.headers}" }
  end

  def has?(response, word)
    unframed = !response.chunked? && response["content-length"].nil?
    case word
    when "head" then true
    when "chunked" then response.chunked?
    when "bare", "to-end" then unframed
    when "close", "keep-alive" then response["connection"] == word
    when "silent" then response["connection"].nil?
    when "1.0" then response.version == "1.0"
    else word == "length=#{response["content-length"]}"
    end
  end

  def heard = Array.new(@app.heard.size) { @app.heard.pop }

  # +address+ is the number of one of the server's.
  def play(entry, following, address)
    answers = entry.answers + (entry.stays ? [Corpus::Answer.new(200, ["close"])] : [])
    Wire.open(@servers[entry.settings].addresses[address]) do |wire|
      wire.write(entry.bytes + (entry.stays ? following : ""))
      wire.half_close if entry.ends
      answers.each { |answer| read_answer(wire, answer) }
      expect(wire).to be_eof
    end
    expect(heard).to eq(entry.requests + (entry.stays ? ["GET /next".b] : []))
  end

  ["over TCP", "over TLS"].each_with_index do |transport, address|
    context transport do
      Corpus.cases.group_by(&:file).each do |file, cases|
        describe file do
          cases.each { |entry| it(entry.name) { play(entry, following, address) } }
        end
      end
    end
  end
end

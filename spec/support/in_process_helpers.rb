# frozen_string_literal: true

# For specs that run servers in this process: starts them on a free port, holds every app to the Rack specification,
# keeps what is written to $stderr, and stops them after the example.

require "rack/lint"

module InProcessHelpers
  # Starts a server for +app+, or for the block; an encrypted one where +tls+ says so, or SPEC_TLS for all.
  def run_server(app = nil, lint: true, tls: ENV.key?("SPEC_TLS"), **options, &block)
    app ||= block
    app = Rack::Lint.new(app) if lint
    place = tls ? { bind: Certificates.bind } : { host: "127.0.0.1", port: 0 }
    server = Tidegate::Server.new(app, **place, silent: true, **options).start
    servers << server
    server
  end

  # A server with an app that hijacks /hijack and gives the socket to the block, in a thread of its own, as Action Cable does; the
  # worker is free meanwhile.
  def hijacking(lint: false, **options)
    given = sockets
    run_server(lint:, **options) do |env|
      next [200, { "content-type" => "text/plain" }, ["ok"]] unless env["PATH_INFO"] == "/hijack"

      io = env["rack.hijack"].call
      given << io
      Thread.new { yield io, env }
      # As Action Cable does it; Lint wants a status.
      [lint ? 200 : -1, lint ? { "content-type" => "text/plain" } : {}, []]
    end
  end

  # The sockets that its app has got.
  def sockets = @sockets ||= Queue.new

  # Opens a connection that is closed after the example: over the protocol that the example is run over (see Protocols), unless
  # +client+ says otherwise.
  def connect(server, client: self.client, **)
    wire = client.open(server.addresses.first, **)
    wires << wire
    wire
  end

  # A whole exchange on a connection of its own.
  def get(server, target, headers = {}) = client.open(server.addresses.first) { |wire| wire.get(target, headers) }

  # The class of the example's client.
  def client = Protocols.client(@metadata)

  # Whether the example is run over HTTP/2.
  def http2? = client == HTTP2Client

  # Returns when the server has seen everything that was sent to it before; see ServerProcess#catch_up.
  def catch_up(server) = Wire.open(server.addresses.first) { |wire| wire.write("GET / HTTP/1.1\r\n\r\n").response }

  # Waits for a counter of the server.
  def wait_for_stat(server, name, value)
    Patience.until_true("#{name} to be #{value}; it is #{server.stats}") { server.stats.fetch(name) == value }
  end

  # What was written to $stderr.
  def errors = @errors

  def workers = Thread.list.select { |thread| thread.name&.start_with?("tidegate worker") }

  def servers = @servers ||= []

  def wires = @wires ||= []

  # Puts Lines in the place of $stderr while the block runs.
  def keep_errors
    before = $stderr
    $stderr = @errors = Lines.new("$stderr")
    yield
  ensure
    $stderr = before
  end

  def stop_servers
    wires.each(&:close)
    servers.each(&:stop)
    servers.each { |server| raise Patience::Over, "a server to stop" unless server.join(Patience::SECONDS) }
  end
end

RSpec.configure do |config|
  config.include InProcessHelpers, :in_process

  config.around(:each, :in_process) do |example|
    @metadata = example.metadata
    keep_errors { example.run }
  end

  config.after(:each, :in_process) do |example|
    stop_servers
    RSpec.configuration.reporter.message("$stderr:\n#{errors}") if example.exception
    expect(errors.to_s).not_to include("Rack::Lint::LintError") unless example.metadata[:breaks_rack]
  end
end

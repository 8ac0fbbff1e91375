# frozen_string_literal: true

# What a Rack app takes without any server: `ruby alone.rb APP WARM SECONDS`, with the requests as JSON on the standard input. On the standard output, as
# JSON, for each of them its answer, the CPU of a call in microseconds and its length in milliseconds; and what memory the process has.
require "json"
require "rack"
require "stringio"

module Alone
  BATCH = 20 # calls between two looks at the clock

  module_function

  def env(request)
    path, query = request.fetch("path").split("?", 2)
    body = "x" * request["body_bytes"].to_i
    headers = request.fetch("headers", {}).to_h { |name, value| ["HTTP_#{name.upcase.tr('-', '_')}", value] }
    headers["CONTENT_TYPE"] = headers.delete("HTTP_CONTENT_TYPE") if headers["HTTP_CONTENT_TYPE"]
    headers["CONTENT_LENGTH"] = body.bytesize.to_s unless body.empty?
    { "REQUEST_METHOD" => request.fetch("method"), "SCRIPT_NAME" => "", "PATH_INFO" => path, "QUERY_STRING" => query.to_s,
      "SERVER_NAME" => "127.0.0.1", "SERVER_PORT" => "80", "SERVER_PROTOCOL" => "HTTP/1.1", "HTTP_HOST" => "127.0.0.1", "REMOTE_ADDR" => "127.0.0.1",
      "rack.url_scheme" => "http", "rack.input" => body, "rack.errors" => $stderr, **headers }
  end

  # Calls the app as a server does, with an env of its own, and takes all of the answer.
  def call(app, env)
    status, headers, body = app.call(env.merge("rack.input" => StringIO.new(env["rack.input"])))
    text = +""
    body.each { |part| text << part }
    [status, headers, text]
  ensure
    body.close if body.respond_to?(:close)
  end

  def clocks = [Process::CLOCK_PROCESS_CPUTIME_ID, Process::CLOCK_MONOTONIC].map { |clock| Process.clock_gettime(clock) }

  # Calls for that long; CPU and time of each call, in seconds.
  def repeat(app, env, seconds)
    began = clocks
    calls = 0
    batch = 1
    loop do
      batch.times { call(app, env) }
      calls += batch
      spent = clocks.zip(began).map { |now, before| now - before }
      return spent.map { |span| span / calls } if spent.last >= seconds

      batch = BATCH if spent.last / calls < seconds / 200
    end
  end

  # `warm` seconds do not count, `long` seconds do, and one call at least.
  def measure(app, request, warm:, long:)
    env = env(request)
    status, headers, body = call(app, env)
    repeat(app, env, warm)
    cpu, length = repeat(app, env, long)
    { name: request["name"], cpu: cpu * 1e6, length: length * 1e3, answer: answer(request, status, headers, body) }
  end

  def answer(request, status, headers, body)
    pairs = headers.flat_map { |name, values| Array(values).flat_map { |value| value.to_s.split("\n") }.map { |value| [name, value] } }
    { path: request["path"].split("?").first, status: Integer(status), headers: pairs, body: body.dup.force_encoding(Encoding::UTF_8) }
  end

  # In MiB: what it has now, shared pages shared out, and the most that it has had.
  def memory
    kilobytes = ->(file, name) { File.read("/proc/self/#{file}")[/^#{name}:\s+(\d+)/, 1].to_i / 1024.0 }
    { pss: kilobytes.call("smaps_rollup", "Pss"), peak: kilobytes.call("status", "VmHWM") }
  end

  def run(file, requests, **times)
    app = Rack::Builder.parse_file(file)
    app = app.first if app.is_a?(Array)
    { requests: requests.map { |request| measure(app, request, **times) }, **memory }
  end
end

if $PROGRAM_NAME == __FILE__
  # What the app prints is not the result.
  result = $stdout.dup
  $stdout.reopen($stderr)
  result.puts JSON.generate(Alone.run(ARGV.fetch(0), JSON.parse($stdin.read), warm: Float(ARGV.fetch(1)), long: Float(ARGV.fetch(2))))
end

# frozen_string_literal: true

# The app's own formatter and logger, in a process as a user starts it.
RSpec.describe "the app's formatter and logger", :processes do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  let(:formatter) { 'log_formatter { |line| format("[%s] %s", Thread.current.name, line.sub("tidegate: ", "")) }' }
  let(:failing) { 'app { |_env| raise "on purpose" }' }

  # From the thread of the log, or from the worker that met a request before the log was handed over.
  let(:raised) { %r{^\[tidegate [^\]]+\] GET / raised RuntimeError: on purpose$} }

  def serve_with(*lines, flags: [])
    File.write("#{@directory}/puma.rb", lines.join("\n"))
    start("-p", 0, "-o", "127.0.0.1", "--termination-grace", 3600, "-C", "#{@directory}/puma.rb", *flags, fixture("hello.ru"))
  end

  # A request to a server whose ready line has another form.
  def ask(server, path)
    port = server.wait_for_line(%r{ready on http://127\.0\.0\.1:(?<port>\d+)})[:port]
    Wire.open("http://127.0.0.1:#{port}") { |wire| wire.get(path) }
  end

  it "has a formatter get the lines of Ruby and of native threads, to the last" do
    server = serve_with(formatter, failing)
    expect(ask(server, "/").status).to eq(500)
    server.wait_for_line(raised)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/^\[\] version /).and match(/^\[tidegate log\] ready on /)
    # On a machine that is very busy Ruby has no time for the last lines, which are there all the same.
    expect(server.output).to match(/^(?:\[tidegate log\] |tidegate: )drain: done /)
  end

  it "has it get those of a cluster: the master's, the workers', and the one about the drain of all" do
    server = serve_with(formatter, failing, "workers 2")
    expect(ask(server, "/").status).to eq(500)
    server.wait_for_line(raised)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/^\[\] ready on .*2 workers/)
    expect(server.output.scan(/^(?:\[tidegate log\] |tidegate: )drain: done/).size).to eq(1)
  end

  it "has a logger write what the server does, and requests, as Puma's" do
    server = serve_with(<<~'RUBY', failing, flags: %w[-v])
      log_formatter { |line| line.sub("tidegate: ", "") }
      custom_logger(Object.new.tap { |it| it.define_singleton_method(:write) { |text| $stderr.write("logger has #{text.inspect}\n") } })
    RUBY
    ask(server, "/path")
    server.wait_for_line(%r{^logger has "127\.0\.0\.1 - - .*GET /path HTTP/1\.1\\" 500 .*\\n"$})
    server.wait_for_line(%r{^GET /path raised RuntimeError: on purpose$})
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.stderr.to_s).to match(/^logger has "ready on .*\)"$/)
  end

  it "loses no line to a formatter that never returns" do
    server = serve_with('log_formatter { |line| line.include?("ready on") ? sleep : line }', "after_booted { $stdout.puts 'booted' }")
    server.wait_for_line(/^booted$/)
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    expect(server.stdout.to_s).to match(/^tidegate: ready on /).and match(/^tidegate: drain: done /)
  end
end

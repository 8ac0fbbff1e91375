# frozen_string_literal: true

# The blocks of a configuration file that run at certain moments, in a real process.

RSpec.describe "hooks", :processes do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  def serve_with(text)
    File.write("#{@directory}/tidegate.rb", text)
    start("-p", 0, "-o", "127.0.0.1", "--termination-grace", 3600, "-t", "1:1", "-C", "#{@directory}/tidegate.rb", fixture("hello.ru"))
  end

  it "run when requests are served, in the threads, and after the last request" do
    server = serve_with(<<~RUBY)
      say = ->(text) { $stdout.write("\#{text}\n") && $stdout.flush }
      after_booted { say["booted"] }
      after_stopped { say["stopped"] }
      before_thread_start { say["first of \#{Thread.current.name}"] }
      before_thread_exit { say["last of \#{Thread.current.name}"] }
    RUBY
    server.wait_for_line(/^booted$/)
    server.wait_for_line(/^first of tidegate worker 1$/)
    expect(server.get("/").body).to eq("hello\n")
    server.signal(:TERM)

    expect(server.exit_status).to eq(0)
    lines = server.stdout.to_a.map(&:chomp)
    expect(lines.index("booted")).to be > lines.index { |line| line.start_with?("tidegate: ready") }
    expect(lines.last(2)).to eq(["last of tidegate worker 1", "stopped"])
  end

  it "run when the server is told to stop and when it serves nothing new, beside the requests" do
    server = serve_with(<<~RUBY)
      drain_delay 600
      say = ->(text) { $stdout.write("\#{text}\n") && $stdout.flush }
      before_drain { say["before_drain \#{Tidegate.draining?}"] }
      after_drain { say["after_drain \#{Tidegate::Running.servers.map(&:phase)}"] }
      after_booted { say["booted \#{Tidegate.draining?}"] }
    RUBY
    server.wait_for_line(/^booted false$/)
    server.signal(:TERM)
    server.wait_for_line(/^before_drain true$/)
    expect(server.get("/").status).to eq(200)
    expect(server.output).not_to include("after_drain")
    half = server.connect.write("GET / HT") # holds the closing up
    server.catch_up
    server.signal(:TERM)

    expect(server.wait_for_line(/^after_drain (?<phase>.*)$/)[:phase]).to eq("[:closing]")
    half.close
    expect(server.exit_status).to eq(0)
  end

  it "that raise are logged, and nothing else happens" do
    server = serve_with("after_booted { raise 'on purpose' }\nafter_booted { puts 'second'; $stdout.flush }")
    server.wait_for_line(/^second$/)

    expect(server.get("/").body).to eq("hello\n")
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.stderr.to_s).to match(/^tidegate: the hook after_booted raised \w+: on purpose\n  .*tidegate\.rb:1:/)
  end
end

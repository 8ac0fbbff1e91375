# frozen_string_literal: true

require "json"

# Plugins of Puma, and gems that ask Puma for its figures, where the server is ours.
RSpec.describe "what is written for Puma", :processes do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  def serve_with(text, *arguments)
    File.write("#{@directory}/puma.rb", text)
    start("-p", 0, "-o", "127.0.0.1", "--termination-grace", 3600, "-C", "#{@directory}/puma.rb", "-I", fixture("puma_plugins"), *arguments,
          fixture("puma_figures.ru")).ready
  end

  # The process of the jobs, when it works: one that is none of +others+.
  def jobs(server, *others) = server.wait_for_line(/^jobs work in (?!(?:#{others.join("|")})$)(?<pid>\d+)$/)[:pid].to_i

  def asked(server, path) = JSON.parse(server.get(path).body)

  it "runs: a plugin with words, events, a process and a thread of its own, and one that asks the control server" do
    server = serve_with("threads 2, 2\nplugin :jobs\njobs_mode :fork\nplugin 'figures'\n")
    server.wait_for_line(/^tidegate: jobs watched by plgn bg 0$/)
    first = jobs(server)
    server.wait_for_line(/^tidegate: jobs of mode fork run as #{first}$/)

    expect(asked(server, "/prometheus")).to include("backlog" => 0, "max_threads" => 2, "busy_threads" => 1)
    expect(asked(server, "/barnes")).to eq("max" => 2, "ruby" => %w[puma tidegate ruby])
    expect(asked(server, "/yabeda")).to eq("max" => 2, "clustered" => false)
    expect(asked(server, "/names")).to eq("version" => "8.0.2", "workers" => 0, "max" => 2, "binds" => 1)
    server.signal(:USR2)
    second = jobs(server, first)
    server.wait_for_line(/^tidegate: jobs of mode fork run as #{second}$/)
    expect(asked(server, "/yabeda")).to eq("max" => 2, "clustered" => false)
    expect(server.output).to include("jobs hear of a restart", "jobs ended with 7")
    expect(server.output).not_to include("is not served")
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output.scan("jobs ended with 7").size).to eq(2)
    [first, second].each { |pid| expect { Process.kill(0, pid) }.to raise_error(Errno::ESRCH) }
  end

  it "runs in a cluster: plugins in the master, and the figures are all workers'" do
    server = serve_with("workers 2\nthreads 3, 3\nplugin :jobs\njobs_mode\nplugin :figures\nactivate_control_app 'unix://#{@directory}/ctl.sock'\n")
    server.wait_for_line(/^tidegate: jobs of mode fork run as #{jobs(server)}$/)

    Patience.until_true("both workers' figures to be there") { asked(server, "/yabeda")["max"] == 6 }
    expect(asked(server, "/prometheus")).to include("workers" => 2, "booted_workers" => 2, "old_workers" => 0, "phase" => 0, "max_threads" => 6)
    expect(asked(server, "/yabeda")).to eq("max" => 6, "clustered" => true)
    expect(asked(server, "/names")).to include("workers" => 2)
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    expect(server.output).to match(/^tidegate: jobs ended with 7$/)
  end

  it "is told by the setting alone, and by a line where there is a Puma" do
    server = serve_with("puma_compat true\nthreads 1, 1")
    expect(asked(server, "/barnes")).to include("max" => 1)
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
    server = serve_with("inject { ::Puma = Module.new }\npuma_compat true\napp { |_env| [200, {}, ['of the file']] }\nplugin :jobs\njobs_mode :async\n")
    server.wait_for_line(/^tidegate: puma_compat does nothing here: Puma is loaded$/)
    expect(server.output).to include(":4: plugin :jobs does nothing here: Puma is loaded", ":5: jobs_mode does nothing here: it may be of the plugin jobs")
    expect(server.get("/").body).to eq("of the file")
  end

  it "is there after require \"tidegate/puma_compat\", before a server, and not beside Puma" do
    # As where the gem is there, because another depends on it.
    FileUtils.mkdir_p("#{@directory}/puma")
    File.write("#{@directory}/puma/const.rb", "abort 'that of the gem'")
    script = '$LOAD_PATH.unshift(ARGV.first); require "tidegate/puma_compat"; print [Puma.stats_hash[:backlog], Puma.cli_config, Puma::Server.current, Puma::Plugin, Puma::DSL].inspect; require "puma/const"'
    expect(IO.popen([*ServerProcess::RUBY, "-e", script, @directory], &:read)).to eq("[0, nil, nil, Tidegate::PumaCompat::Puma::Plugin, Tidegate::PumaDSL]")
    script = 'Puma = 1; require "tidegate/puma_compat"; print Puma'
    expect(IO.popen([*ServerProcess::RUBY, "-e", script], &:read)).to eq("1")
  end

  it "stops by itself when it has had no request for idle_timeout" do
    server = serve_with("idle_timeout 0.2\npuma_compat true")
    server.wait_for_line(/^tidegate: no request for 0\.2 s \(idle_timeout\): the server stops$/)
    expect(server.exit_status).to eq(0)
  end

  it "stops all workers by itself, once, when none of them has had a request for idle_timeout" do
    server = serve_with("idle_timeout 0.2\nworkers 2")
    server.wait_for_line(/^tidegate: no request for 0\.2 s \(idle_timeout\): the server stops$/)
    expect(server.exit_status).to eq(0)
    expect(server.output.scan("no request for").size).to eq(1)
    expect(server.output[/^tidegate: closing: .*/]).not_to include("SIG")
    expect(server.output).to match(/^tidegate: drain: done .* requests=0 .* cut=0 .* exit=0$/)
  end

  it "leaves no socket behind: the next start removes that of a server which was killed" do
    killed = serve_with("puma_compat true")
    path = killed.wait_for_line(%r{probes on unix://(?<path>/\S*/tidegate-#{killed.pid}-\w+\.sock)})[:path]
    killed.signal(:KILL)
    killed.wait_exit
    File.utime(Time.now - 3600, Time.now - 3600, "#{path}.lock")
    expect([path, "#{path}.lock"].map { |file| File.exist?(file) }).to eq([true, true])
    server = serve_with("puma_compat true")
    expect([path, "#{path}.lock"].map { |file| File.exist?(file) }).to eq([false, false])
    expect(asked(server, "/barnes")).to include("max" => 32)
  end
end

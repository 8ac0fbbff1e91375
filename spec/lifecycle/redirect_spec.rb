# frozen_string_literal: true

# Output that goes to files, and HUP, which opens them anew.

RSpec.describe "output that goes to files", :processes do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  let(:out) { "#{@directory}/out.log" }
  let(:err) { "#{@directory}/err.log" }

  def boot_into_files(*more, terminal: false)
    app = "#{@directory}/config.ru"
    File.write(app, "run ->(env) { warn(env['PATH_INFO']); puts('app ' + env['PATH_INFO']); [200, {}, ['ok']] }")
    boot_with_terminal(app, "-v", "--redirect-stdout", out, "--redirect-stderr", err, *more, terminal:)
  end

  def fixture(name) = name.start_with?("/") ? name : super

  # Waits for a line in a file, and returns the file's text.
  def await(path, pattern)
    Patience.until_true("#{pattern.inspect} in #{path}") { File.exist?(path) && File.read(path).match?(pattern) }
    File.read(path)
  end

  def ready(path = out) = await(path, /ready on \S+:\d+ /)[/ready on (http\S+)/, 1].sub("http", "tcp")

  def get(address, path) = Wire.open(address) { |wire| wire.get(path).status }

  it "has all of it, of the server, of requests and of the app, and none is lost when a program renames the files and sends HUP" do
    server = boot_into_files
    address = ready
    expect(get(address, "/one")).to eq 200
    await(out, %r{"GET /one })
    [out, err].each { |path| File.rename(path, "#{path}.1") }
    expect(get(address, "/two")).to eq 200
    await("#{out}.1", %r{"GET /two })
    server.signal(:HUP)
    await(out, /SIGHUP: the log files are opened anew/)
    expect(get(address, "/three")).to eq 200
    await(out, %r{"GET /three })
    server.signal(:TERM)

    expect(server.exit_status).to eq 0
    expect(File.read(out)).to include("app /three\n", "drain").and satisfy { |text| !text.include?("/two") }
    expect([File.read("#{err}.1"), File.read(err)]).to eq ["/one\n/two\n", "/three\n"]
    expect(File.read("#{out}.1")).to include("app /two\n")
    expect(server.output).to eq ""
  end

  it "is not stopped by the terminal's HUP either, and stays where it was when a file cannot be opened" do
    server = boot_into_files(terminal: true)
    address = ready
    FileUtils.rm(out)
    Dir.mkdir(out)
    server.signal(:HUP)
    await(err, /#{Regexp.escape(out)} cannot be opened anew, and the output goes where it went before: Is a directory/)
    expect(get(address, "/after")).to eq 200
  end

  it "empties the files at the start, unless it is to append" do
    File.write(out, "before\n")
    File.write(err, "before\n")
    boot_into_files("--redirect-append")
    ready
    expect([File.read(out), File.read(err)]).to all start_with("before\n")
    File.write(out, "before\n") # no "ready" any more
    boot_into_files
    ready
    expect(File.read(out)).not_to include "before"
  end

  it "may all go to one file" do
    boot_into_files("--redirect-stderr", out)
    get(ready, "/both")
    expect(await(out, %r{^/both$})).to include "app /both"
  end

  it "is an error of one line where it cannot be written" do
    server = boot_into_files("--redirect-stdout", "/nonexistent/out.log")
    expect(server.exit_status).to eq 1
    expect(server.output).to eq "tidegate: the output cannot go to /nonexistent/out.log: No such file or directory\n"
  end
end

RSpec.describe "signals that are for others", :processes do
  it "print a sentence each and leave the server as it is, HUP too where there is no terminal" do
    server = boot_with_terminal("hello.ru", terminal: false).ready
    Tidegate::OtherSignals::SENTENCES.each do |name, text|
      server.signal(name)
      expect(server.wait_for_line(/^tidegate: #{Regexp.escape(text)}$/)).to be_truthy
    end
    expect(server.get("/").body).to eq "hello\n"
    server.signal(:TERM)
    expect(server.exit_status).to eq 0
  end

  it "do not stop a server with a terminal, which HUP does" do
    server = boot_with_terminal("hello.ru").ready
    %w[TTIN TTOU].each do |name|
      server.signal(name)
      server.wait_for_line(/^tidegate: SIG#{name} /)
    end
    expect(server.get("/").body).to eq "hello\n"
    server.signal(:HUP)
    expect(server.wait_for_line(/^tidegate: .*SIGHUP/)).to be_truthy
    expect(server.exit_status).to eq 0
  end
end

# frozen_string_literal: true

# The command as process 1, as in a container of an image that says CMD ["bundle", "exec", "tidegate"]: in a process namespace
# of its own.

RSpec.describe "process 1", :processes do
  # What makes a process namespace here; pending where the kernel allows none.
  def namespace
    @namespace ||= [%w[unshare --pid --fork --kill-child --mount-proc], %w[unshare --user --map-root-user --pid --fork --kill-child --mount-proc]]
                   .find { |command| system(*command, "true", out: File::NULL, err: File::NULL) }
    return @namespace if @namespace

    ENV["CI"] == "true" && Process.uid.zero? ? raise("no process namespaces here") : skip("no process namespaces here")
  end

  # Starts the command in a namespace, where it is process 1 unless +shell+ is.
  def contain(*arguments, shell: nil)
    command = [*ServerProcess::RUBY, File.join(ServerProcess::ROOT, "exe/tidegate"), *ProcessHelpers::USUAL, *arguments].map(&:to_s)
    # A second command, or the shell would become the first.
    command = [shell, "-c", "#{command.shelljoin}; exit $?"] if shell
    track(ServerProcess.new([*namespace, *command], env: rendezvous.env))
  end

  # Sends a signal to process 1 of the namespace: the child of `unshare`.
  def signal_inside(server, name)
    children = File.read("/proc/#{server.pid}/task/#{server.pid}/children").split
    Process.kill(name, Integer(children.first))
  end

  before(:all) { require "shellwords" }

  it "passes TERM on, and ends with the status of the server" do
    server = contain("--drain-delay", 600, fixture("drain.ru")).ready
    wire = server.connect.request("GET", "/wait")
    slow = meet("wait")
    signal_inside(server, :TERM)
    server.wait_for_line(/^tidegate: draining: SIGTERM/)
    expect(server.get("/").status).to eq(200)
    signal_inside(server, :TERM)
    server.wait_for_line(/^tidegate: closing: SIGTERM/)
    slow.release("finished")

    expect(wire.response.body).to eq("finished")
    wire.close
    expect(server.exit_status).to eq(0)
  end

  it "says 1 when a request was cut" do
    server = contain("--shutdown-timeout", 0.3, fixture("drain.ru")).ready
    server.connect.request("GET", "/wait")
    meet("wait")
    signal_inside(server, :TERM)

    expect(server.exit_status).to eq(1)
  end

  it "ends with 0 when TERM comes in the boot" do
    server = contain(fixture("slow_boot.ru"))
    meet("boot")
    signal_inside(server, :TERM)

    expect(server.exit_status).to eq(0)
    expect(server.output).to include("stopped by SIGTERM before it was ready")
  end

  it "waits for orphans, and leaves the app its children's statuses" do
    server = contain(fixture("orphans.ru")).ready

    orphan = server.get("/orphan").body.chomp
    expect(orphan).to match(/\A\d+\z/)
    expect(server.get("/children").body).to eq("{0=>50, 3=>50}\n").or eq("{0 => 50, 3 => 50}\n")
    expect(Patience.until_true("the orphan to be gone") { server.get("/there/#{orphan}").body == "false\n" }).to be(true)
    signal_inside(server, :TERM)
    expect(server.exit_status).to eq(0)
  end

  it "that is a shell is warned of, because it keeps TERM to itself" do
    server = contain(fixture("hello.ru"), shell: "sh").ready

    expect(server.stderr.to_s).to match(/^tidegate: process 1 is the shell (ba|da)?sh, which does not pass TERM on/)
  end
end

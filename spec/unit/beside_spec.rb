# frozen_string_literal: true

require "open3"

# What bin/test runs its checks with.
RSpec.describe "bin/lib/beside.sh" do
  library = File.expand_path("../../bin/lib/beside.sh", __dir__)

  before { skip "needs bash 4" unless system("bash", "-c", "(( BASH_VERSINFO[0] >= 4 )) && command -v pgrep >/dev/null") }

  # The beginning of each script.
  let(:head) { "set -euo pipefail; failed=(); . #{library}" }

  def run(script) = Open3.capture2e("bash", "-c", "#{head}\n#{script}")

  it "shows the output of each command whole, one after the other, and which have failed" do
    output, status = run(<<~BASH)
      one() { echo one begins; sleep 0.2; echo one ends; false; }
      beside "the first" one
      beside "the second" echo two
      attended echo here
      show "the second"
      show "the first"
      echo "failed: ${failed[*]}"
    BASH

    expect(output.lines.map(&:chomp).grep_v(/\A(?:\(waiting for: the \w+\))?\z/)).to eq(
      ["here", "two", "one begins", "one ends", "the first: ended with status 1", "failed: the first"]
    )
    expect(status).to be_success
  end

  # The other Racks were "failed" once, with not a word: a pipe's reader had left before its writer, which pipefail holds against
  # both.
  it "says that a command has failed that ended without a word" do
    output, = run('silent() { local all; all=$(yes | head -n 1); echo "never reached"; }; beside "silent" silent; show "silent"')

    expect(output.sub("\n(waiting for: silent)\n", "")).to eq "silent: ended with status 141\n"
  end

  it "says how what is attended ended" do
    expect(run("attended bash -c 'exit 7' || echo \"status $?\"").first).to eq "status 7\n"
  end

  %w[INT TERM HUP].each do |signal|
    it "ends all that was started, with what that has started, on #{signal}" do
      script = <<~BASH
        deep() { bash -c 'echo "$$" >&3; sleep 60 & echo "$!" >&3; wait'; }
        beside "deep" deep
        attended #{RbConfig.ruby} -e 'trap(ARGV[0]) { $stdout.write("told\\n"); exit 1 }; IO.for_fd(3, "w").syswrite("\#{Process.pid}\\n"); sleep' #{signal}
      BASH
      pids, theirs = IO.pipe
      shell = IO.popen(["bash", "-c", "#{head}\n#{script}", { 3 => theirs }])
      theirs.close
      # On the third line the trap is set.
      started = Patience.value_of(Thread.new { Array.new(3) { pids.gets.to_i } })
      Process.kill(signal, shell.pid)

      # The last process that could write to it is gone.
      expect(Patience.value_of(Thread.new { pids.read })).to eq("")
      expect(started).to all(be_positive)
      expect(shell.read).to eq("told\n")
      shell.close
      expect($?.exitstatus).to eq(128 + Signal.list.fetch(signal))
    end
  end
end

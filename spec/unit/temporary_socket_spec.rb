# frozen_string_literal: true

require "socket"
require "tmpdir"

RSpec.describe Tidegate::TemporarySocket do
  around { |example| Dir.mktmpdir { |directory| (@directory = directory) && example.run } }

  let(:gone) { Process.wait(Process.spawn("true")) && $?.pid }

  # A socket with its lock, as a server that was killed leaves them. Returns the socket's path.
  def leave(pid, name = "x", age: 3600)
    path = "#{@directory}/tidegate-#{pid}-#{name}.sock"
    UNIXServer.new(path).close
    lock = File.new("#{path}.lock", "w")
    File.utime(Time.now - age, Time.now - age, lock.path)
    yield lock if block_given?
    path
  end

  def removes?(path, own: nil)
    described_class.remove_stale(own, directory: @directory)
    [path, "#{path}.lock"].none? { |file| File.exist?(file) }
  end

  it "removes what a process of this user has left that has gone, also a lock alone" do
    paths = [leave(gone), leave(gone, "y"), leave(Process.pid, "before")]
    File.unlink(paths[1])
    expect(paths.map { |path| removes?(path) }).to eq([true, true, true])
    expect(Dir.children(@directory)).to eq([])
  end

  it "leaves what a process has that lives, holds the lock, or is about to" do
    held = nil
    kept = [leave(Process.ppid), leave(gone, "young", age: 1), leave(gone, "held") { |lock| (held = lock).flock(File::LOCK_EX) }]
    expect(kept.map { |path| removes?(path) }).to eq([false, false, false])
    held.close
  end

  it "leaves its own, and what is none of it" do
    own = leave(Process.pid)
    expect(removes?(own, own: "unix://#{own}?umask=0077")).to be(false)
    File.write("#{@directory}/tidegate-#{gone}-z.sock.lock", "of another")
    File.symlink(own, "#{@directory}/tidegate-#{gone}-link.sock.lock")
    FileUtils.touch("#{@directory}/tidegate-#{gone}-other.sock")
    before = Dir.children(@directory).sort
    described_class.remove_stale("unix://#{own}", directory: @directory)
    expect(Dir.children(@directory).sort).to eq(before)
    described_class.remove_stale(nil, directory: "#{@directory}/none")
  end

  it "knows its own addresses" do
    address = described_class.address({})
    expect([address, "#{address}?umask=0077", "unix:///run/admin.sock", "tcp://127.0.0.1:1", nil].map { |each| described_class.named_by?(each) })
      .to eq([true, true, false, false, false])
    expect(described_class.address("TIDEGATE_INHERIT" => "tcp://[::]:80=5;#{address}=6*")).to eq(address)
  end
end

# frozen_string_literal: true

RSpec.describe Tidegate::Signals do
  let(:signals) { described_class.new }
  let(:received) { Queue.new }
  # A server that remembers its signals; one of RSpec's doubles would lock, which a trap must not.
  let(:server) do
    Struct.new(:received, :signals) do
      def signal(name) = received << name
      def ignore_signals = self.signals = :ignored
    end.new(received)
  end

  # Whatever an example does to the traps of this process is undone.
  # Whatever terminal the suite has.
  before { allow(Tidegate::OtherSignals).to receive(:terminal?).and_return(true) }

  def without_terminal = allow(Tidegate::OtherSignals).to receive(:terminal?).and_return(false)

  around do |example|
    names = [*described_class::NAMES, *described_class::UNUSED, *Tidegate::OtherSignals::SENTENCES.keys].uniq
    before = names.to_h { |name| [name, Signal.trap(name, name == "HUP" ? "DEFAULT" : "IGNORE")] }
    example.run
  ensure
    before.each { |name, handler| Signal.trap(name, handler || "DEFAULT") }
  end

  it "names the signals that the server hears by itself while they are ours" do
    signals.install
    expect(signals.names).to eq %i[TERM INT QUIT HUP]
    signals.hand_over(server) { nil }
    signals.restore
    expect([signals.names, server.signals]).to eq [nil, :ignored]
  end

  it "leaves the signals of a process that it does not own to their owner" do
    Thread.new { signals.install }.join
    signals.hand_over(server) { nil }
    expect([signals.names, server.signals]).to eq [nil, nil]
  end

  # Sends this process a signal and lets the main thread run its trap.
  def send_signal(name)
    Process.kill(name, Process.pid)
    Queue.new.pop(timeout: 0.01)
  end

  described_class::NAMES.each do |name|
    it "ends the boot on #{name}" do
      signals.install
      expect { send_signal(name) }.to raise_error(having_attributes(class: described_class::Stopped, signal: "SIG#{name}"))
    end

    it "gives the server #{name} once it listens" do
      signals.install
      signals.hand_over(server) { nil }
      send_signal(name)
      expect(received.pop(timeout: 5)).to eq name.to_sym
    end
  end

  it "leaves HUP alone where the process was started with it ignored, as nohup does" do
    Signal.trap("HUP", "IGNORE")
    signals.install
    signals.hand_over(server) { nil }
    Process.kill("HUP", Process.pid)
    send_signal("TERM")
    expect([received.pop(timeout: 5), received.size]).to eq [:TERM, 0]
    expect(signals.names).to eq %i[TERM INT QUIT]
    signals.restore
    expect(Signal.trap("HUP", "DEFAULT")).to eq "IGNORE"
  end

  # A log that can be waited for.
  let(:lines) { Queue.new }
  let(:log) { Struct.new(:lines) { def info(line) = lines << line }.new(lines) }

  { **Tidegate::OtherSignals::SENTENCES.to_h { |name, text| [name, text] }, "USR2" => /\ASIGUSR2 does nothing here/ }.each do |name, text|
    it "survives #{name}, which does nothing here, and says so" do
      without_terminal
      signals = described_class.new(log)
      signals.install
      signals.hand_over(server) { nil }
      send_signal(name)
      expect(lines.pop(timeout: 5)).to match(text)
      expect(received).to be_empty
      signals.restore
    end
  end

  # With a trap, the kernel would send the second as often as the first sentence is written to the terminal.
  it "says it once of those that a terminal sends to a process in the background" do
    signals = described_class.new(log)
    signals.install
    3.times { %w[TTIN TTOU].each { |name| send_signal(name) } }
    expect(Array.new(2) { lines.pop(timeout: 5) }).to match_array Tidegate::OtherSignals::SENTENCES.values_at("TTIN", "TTOU")
    expect(Signal.trap("TTOU", "DEFAULT")).to eq "IGNORE"
    expect(lines).to be_empty
    signals.restore
  end

  it "leaves WINCH to the terminal, where there is one" do
    theirs = proc {}
    Signal.trap("WINCH", theirs)
    signals.install
    expect(Signal.trap("WINCH", "DEFAULT")).to be theirs
  end

  it "names no HUP where no terminal can send it" do
    without_terminal
    signals.install
    expect(signals.names).to eq %i[TERM INT QUIT]
  end

  it "has HUP call a block once it is told to, also where it was ignored, and puts back what was there" do
    Signal.trap("HUP", "IGNORE")
    signals.install
    called = Queue.new
    signals.on_hangup { called << true }
    signals.hand_over(server) { nil }
    2.times { send_signal("HUP") }
    expect(Array.new(2) { called.pop(timeout: 5) }).to eq [true, true]
    expect([received.size, signals.names]).to eq [0, %i[TERM INT QUIT]]
    signals.restore
    expect(Signal.trap("HUP", "DEFAULT")).to eq "IGNORE"
  end

  it "passes the rescues that an app puts around its loading" do
    signals.install
    expect do
      send_signal("TERM")
    rescue LoadError, StandardError
      nil
    end.to raise_error(described_class::Stopped)
  end

  # Raised while the extension was loaded or first looked for its classes, it was a panic of Rust, and the status 1.
  it "keeps a signal that comes while native code is loaded until that is done" do
    signals.install
    done = false
    expect do
      signals.defer do
        send_signal("TERM")
        done = true
      end
    end.to raise_error(described_class::Stopped)
    expect(done).to be true
  end

  it "remembers a signal that the app has swallowed" do
    signals.install
    begin
      send_signal("TERM")
    rescue Exception # rubocop:disable Lint/RescueException, Lint/SuppressedException -- as some apps do
    end
    expect { signals.check }.to raise_error(described_class::Stopped)
  end

  it "goes on with the boot when no signal came" do
    signals.install
    expect { signals.check }.not_to raise_error
  end

  it "keeps a signal for the server that comes while it starts to listen" do
    signals.install
    signals.hand_over(server) do
      send_signal("TERM")
      expect(received).to be_empty
    end
    expect(received.pop(timeout: 5)).to eq :TERM
  end

  it "takes back the signals that the app has trapped, and names them" do
    signals.install
    Signal.trap("TERM") { raise "the app's" }
    expect(signals.reclaim).to eq ["TERM"]
    signals.hand_over(server) { nil }
    send_signal("TERM")
    expect(received.pop(timeout: 5)).to eq :TERM
  end

  it "has nothing to take back otherwise" do
    signals.install
    expect(signals.reclaim).to eq []
  end

  it "puts back what was there before" do
    theirs = proc {}
    Signal.trap("INT", theirs)
    signals.install
    signals.restore
    expect(Signal.trap("INT", "IGNORE")).to be theirs
    expect(Signal.trap("TERM", "IGNORE")).to eq "IGNORE"
    expect(signals).not_to be_installed
  end

  it "leaves the process alone when it is launched from another thread" do
    theirs = proc {}
    Signal.trap("TERM", theirs)
    Thread.new { signals.install }.join
    expect(Signal.trap("TERM", "IGNORE")).to be theirs
    expect(signals.reclaim).to eq []
  end

  it "lets a process that the app forks be ended as any other" do
    signals.install
    signals.hand_over(server) { nil }
    reader, writer = IO.pipe
    child = fork do
      writer.write("up")
      writer.close
      Queue.new.pop(timeout: 30)
      exit!(9)
    end
    writer.close
    reader.read
    Process.kill("TERM", child)
    Process.wait(child)
    expect($?.termsig).to eq Signal.list["TERM"]
    expect(received).to be_empty
  end
end

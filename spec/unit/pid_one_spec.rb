# frozen_string_literal: true

RSpec.describe Tidegate::PidOne do
  it "runs the block in this process unless it is process 1" do
    expect(described_class.run { [Process.pid, 3] }).to eq [Process.pid, 3]
  end

  it "knows a shell that is process 1 and our parent" do
    allow(Process).to receive(:ppid).and_return(1)
    shells = { "sh\n" => "sh", "bash\n" => "bash", "systemd\n" => nil, "tini\n" => nil }
    shells.each do |comm, shell|
      allow(File).to receive(:read).with("/proc/1/comm").and_return(comm)
      expect(described_class.shell).to eq shell
    end
  end

  it "does not ask who is process 1 when that is not our parent" do
    allow(Process).to receive(:ppid).and_return(4711)
    expect(File).not_to receive(:read)
    expect(described_class.shell).to be_nil
  end
end

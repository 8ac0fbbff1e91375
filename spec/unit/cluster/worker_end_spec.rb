# frozen_string_literal: true

RSpec.describe Tidegate::WorkerEnd do
  def ended(script)
    _, status = Process.wait2(spawn(RbConfig.ruby, "-e", script, err: File::NULL))
    described_class.new(status)
  end

  it "says how a process has ended, and counts all but success as 1" do
    ends = [ended("exit 0"), ended("exit 7"), ended("Process.kill(:KILL, $$)"), described_class.new(nil)]
    expect(ends.map { |each| [each.to_s, each.exit_status] }).to eq [
      ["has ended with status 0", 0], ["has ended with status 7", 1], ["was ended by SIGKILL", 1], ["has ended", 1]
    ]
  end
end

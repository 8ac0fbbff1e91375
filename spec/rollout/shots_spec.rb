# frozen_string_literal: true

require_relative "../../bench/rollout/shots"

# The moments at which an ending server loses requests: Tidegate loses none, and Puma in its place shows that each of
# them can be lost. The many repetitions are bin/rollout's.
RSpec.describe Rollout::Shots, :needs do
  let(:tidegate) { needing_programs { Rollout::Shots::Contestant.new("Tidegate", Rig::Servers.tidegate) } }
  let(:puma) { needing_programs { Rollout::Shots::Contestant.new("Puma", puma_kind) } }

  # Puma 8 where bin/peer-gems has fetched it, else the installed one.
  def puma_kind
    Rig::Servers.puma_beside("puma8", cached: true)
  rescue Rig::Missing
    Rig::Servers.puma
  end

  def shooting(shot)
    made = needing_root { shot.new }
    yield made
  ensure
    made&.stop
  end

  Rollout::Shots::ALL.each_value do |shot|
    describe shot::TITLE do
      it "Tidegate loses none, and exits with 0" do
        shooting(shot) do |it|
          result = it.run(tidegate, times: 2)

          expect(result.losses).to be_empty
          expect(result.endings).to eq("exit 0" => 2)
          expect(result.requests).to be >= 2
        end
      end

      # Some are a matter of luck, of which ten turns have enough.
      it "Puma loses some" do
        shooting(shot) do |it|
          lost = Array.new(10).any? { it.run(puma, times: 1).lost.positive? }

          expect(lost).to be(true)
        end
      end
    end
  end

  describe Rollout::Shots::Table do
    def result(contestant, outcomes, endings)
      Rollout::Shots::Result.new(shot: "a moment", contestant:, times: 2, outcomes:, endings:)
    end

    it "is Markdown, with what was lost and how each server ended" do
      results = [result("Tidegate", { "answered" => 40 }, { "exit 0" => 2 }),
                 result("Puma", { "answered" => 10, "reset" => 29, "timeout" => 1 }, { "signal 15" => 1, "exit 0" => 1 })]

      expect(described_class.new(results, "listener" => "we are not root").to_s).to eq(<<~TABLE.chomp)
        | shot | server | times | requests | lost | how | ended with |
        | --- | --- | --- | --- | --- | --- | --- |
        | a moment | Tidegate | 2 | 40 | 0 | - | 2 × exit 0 |
        | a moment | Puma | 2 | 40 | 30 | 29 × reset, 1 × timeout | 1 × signal 15, 1 × exit 0 |

        Not done: listener, because we are not root.
      TABLE
    end
  end

  describe Rollout::Shots::Command do
    it "says what cannot be done here, and has nothing to show for it" do
      allow(Process).to receive(:euid).and_return(1000)
      out = StringIO.new
      status = described_class.new(%w[--quiet --server Tidegate --shot listener,keep-alive], out:).call

      expect(status).to eq(2)
      expect(out.string).to include("Not done: listener, because network namespaces are made by root, and we are not.")
    end

    it "refuses options that mean nothing" do
      expect { described_class.new(%w[--times 0]) }.to raise_error(OptionParser::InvalidArgument)
      expect { described_class.new(%w[--shot listner]) }.to raise_error(OptionParser::InvalidArgument)
      expect { described_class.new(%w[more]) }.to raise_error(OptionParser::InvalidArgument)
    end
  end
end

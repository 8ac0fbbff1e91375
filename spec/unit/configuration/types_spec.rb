# frozen_string_literal: true

RSpec.describe Tidegate::Configuration::Types do
  def read(type, given)
    described_class.const_get(type).read(given) { |reason| return "invalid: #{reason}" }
  end

  {
    SWITCH: { true => true, false => false, "1" => true, "yes" => true, "off" => false, "0" => false },
    TEXT: { "a" => "a", a: "a" },
    COUNT: { "5" => 5, 5 => 5 },
    COUNT_OR_ZERO: { "0" => 0, "08" => 8 },
    THREADS: { "0:5" => [0, 5], "5" => [5, 5], 5 => [5, 5], [0, 5] => [0, 5], %w[0 5] => [0, 5] },
    BYTES: { "0" => 0, 7 => 7, "112K" => 114_688, "1 MiB" => 1_048_576, "2g" => 2_147_483_648, "10kb" => 10_240 },
    BYTES_OR_NONE: { "none" => nil, nil => nil, "1k" => 1024 },
    SECONDS: { "0" => 0.0, "2.5" => 2.5, 3 => 3.0 },
    SECONDS_OR_AUTO: { "auto" => :auto, auto: :auto, "0" => 0.0 },
    TIMEOUT: { "none" => nil, nil => nil, false => nil, "0.5" => 0.5, 30 => 30.0 },
    TIMEOUT_OR_OFF: { "0" => nil, 0 => nil, "none" => nil, nil => nil, "0.5" => 0.5, 60 => 60.0 },
    PORT: { "0" => 0, "65535" => 65_535, 80 => 80 },
    ADDRESS_OR_NONE: { "none" => nil, nil => nil },
    SECRET: { "none" => nil, "0123456789abcde!" => "0123456789abcde!" },
    HOST: { "metrics.example.com" => "metrics.example.com", "app_1" => "app_1" }
  }.each do |type, cases|
    cases.each do |given, value|
      it "reads #{given.inspect} as #{value.inspect} where #{type} is wanted" do
        expect(read(type, given)).to eq value
      end
    end
  end

  {
    SWITCH: ["maybe", 1, nil],
    TEXT: ["", nil, 5, []],
    COUNT: ["0", "-1", "1.5", "x", "", nil, true, 2.0],
    THREADS: ["5:2", "0", "0:0", "a:b", "1:2:3", ":5", "5:", [], [1, 2, 3], nil, true],
    BYTES: ["-1", "1T", "K", -1, nil, 1.5],
    SECONDS: ["-1", "x", "", nil, true, Float::INFINITY, "30s"],
    SECONDS_OR_AUTO: ["none", "-1", nil],
    TIMEOUT: ["0", 0, "-5", "auto", true],
    TIMEOUT_OR_OFF: ["-1", "auto", true, "x"],
    PORT: ["65536", "-1", "http", nil, true],
    ADDRESS_OR_NONE: ["udp://x:1", "9394"],
    SECRET: ["0123456789abcde", "0123456789abcd f", "0123456789abcd\n01", "0123456789abcdé", 1_234_567_890_123_456, "x" * 4097],
    HOST: ["a:1", "http://a", "[::1]", "a.", ".a", "a\nb", ""]
  }.each do |type, cases|
    cases.each do |given|
      it "refuses #{given.inspect} where #{type} is wanted" do
        expect(read(type, given)).to match(/\Ainvalid: \S/)
      end
    end
  end
end

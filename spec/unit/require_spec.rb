# frozen_string_literal: true

require "open3"

RSpec.describe "requiring tidegate" do
  # What a new Ruby prints that evaluates the script with our lib on its path.
  def ruby(script) = Open3.capture2e(RbConfig.ruby, "-w", "-Ilib", "-e", script).first

  it "starts nothing, reads no environment variable and loads no native code" do
    expect(ruby(<<~RUBY)).to eq "1 thread, DEFAULT, no optparse, no native code"
      reads = []
      ENV.singleton_class.prepend(Module.new { define_method(:[]) { |name| reads << name; super(name) } })
      require "tidegate"
      abort reads.inspect if reads.any? { |name| name.start_with?("TIDEGATE", "PORT", "RAILS", "RACK") }
      print Thread.list.size, " thread, ", trap("TERM", "DEFAULT"), ", "
      print defined?(OptionParser) ? "optparse" : "no optparse", ", "
      print $LOADED_FEATURES.grep(/tidegate\\.so/).empty? ? "no native code" : "native code"
    RUBY
  end

  it "loads each of its parts without a warning" do
    expect(ruby(<<~RUBY)).to eq ""
      require "tidegate"
      (Tidegate.constants - [:Native]).each { |name| Tidegate.const_get(name) }
      Tidegate::Configuration.to_markdown
    RUBY
  end
end

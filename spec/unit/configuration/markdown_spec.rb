# frozen_string_literal: true

require "tidegate"

RSpec.describe "docs/options.md" do
  it "is what the table of options says (bundle exec rake docs)" do
    path = File.expand_path("../../../docs/options.md", __dir__)
    expect(File.read(path)).to eq Tidegate::Configuration.to_markdown
  end
end

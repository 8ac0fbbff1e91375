# frozen_string_literal: true

require "shellwords"

# What sig/ names is what users call: each class, module and constant of it has a comment of its own for YARD, in a file of
# which .yardopts makes pages. The comment at the head of a file is about the file.
RSpec.describe "the comments for YARD" do
  root = ServerProcess::ROOT

  before(:context) do
    @signatures = Signatures.new
  rescue LoadError
    raise if ENV["CI"] == "true"
  end
  before { skip "the gem rbs, which comes with Ruby, is not here" unless @signatures }

  listed = Shellwords.split(File.read("#{root}/.yardopts")).drop_while { |word| !word.end_with?(".rb") } - ["-"]

  # The last words of the names of what these files define, each with the line before it.
  defined = listed.grep(/\.rb\z/).flat_map do |file|
    File.readlines(File.join(root, file)).each_cons(2).filter_map { |before, line| [line[/\A +(?:class|module) (\w+)|\A +([A-Z]\w+) = /] && ($1 || $2), before] }
  end

  it "are there for every public class, module and constant, in files that are made into pages" do
    names = (@signatures.names + @signatures.constants).map { |name| name.to_s.delete_prefix("::") }.grep(/\ATidegate::/)
    without = names.reject { |name| defined.any? { |word, before| word == name.split("::").last && before.match?(/\A +#/) } }

    expect(names.size).to be > 25
    expect(without).to be_empty
  end

  it "are beside the documents" do
    expect(listed).to include("CHANGELOG.md", "SECURITY.md", "docs/*.md")
    expect(listed.reject { |pattern| Dir[File.join(root, pattern)].any? }).to be_empty
  end
end

# frozen_string_literal: true

# Reads a Dockerfile as far as the specs need it: instructions with their lines joined, in stages.

require "json"

class Dockerfile
  Instruction = Data.define(:name, :text, :line) do
    # The strings of the exec form; nil where it is the shell form, or not JSON.
    def exec
      parsed = JSON.parse(text)
      parsed if parsed.is_a?(Array) && parsed.any? && parsed.all?(String)
    rescue JSON::ParserError
      nil
    end

    def flags = text.scan(/(?:\A|\s)(--[a-z-]+=\S+)/).flatten
    def words = text.split.reject { |word| word.start_with?("--") }
  end

  KNOWN = %w[ARG COPY CMD ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR].freeze

  attr_reader :instructions

  def initialize(text)
    @instructions = self.class.joined(text).map do |line, number|
      name, rest = line.split(/\s+/, 2)
      raise "line #{number}: #{name} is no instruction" unless KNOWN.include?(name) && rest

      Instruction.new(name:, text: rest.strip, line: number)
    end
  end

  # Each instruction on one line, with the number of its first; comments are left out, also those between its lines.
  def self.joined(text)
    start = nil
    lines = text.lines(chomp: true).each_with_index.reject { |line, _| line.match?(/\A\s*(#|\z)/) }
    lines.each_with_object([]) do |(line, index), found|
      body = line.sub(/\\\s*\z/, "")
      start ? found.last.first << " #{body.strip}" : found << [+body, index + 1]
      start = line != body
    end
  end

  # The stages, each an array of instructions that begins with its FROM.
  def stages = instructions.slice_before { |one| one.name == "FROM" }.select { |stage| stage.first.name == "FROM" }
  def last_stage = stages.last
  def stage_names = stages.filter_map { |stage| stage.first.text[/\sAS\s+(\S+)\z/i, 1] }

  def all(name, within: instructions) = within.select { |one| one.name == name }
  def one(name) = all(name, within: last_stage).then { |found| found.size == 1 ? found.first : raise("#{found.size} of #{name}") }

  # NAME => value of all ENV of a stage.
  def env(stage = last_stage)
    pairs = all("ENV", within: stage).flat_map { |one| one.text.scan(/([A-Z_]+)=("[^"]*"|\S+)/) }
    pairs.to_h { |name, value| [name, value.delete('"')] }
  end
end

# frozen_string_literal: true

# The cases of spec/corpus, and the app that they are played to. spec/corpus/README.md has the format.

require "yaml"

module Corpus
  DIRECTORY = File.expand_path("../corpus", __dir__)

  # A case: bytes, and what has to come of them.
  Case = Struct.new(:file, :name, :bytes, :ends, :settings, :answers, :requests, :stays, keyword_init: true)

  # What an answer has to have: a status, and words.
  Answer = Struct.new(:status, :words) do
    # Whether it has no body whatever it says: because of the method, or of the status.
    def head? = words.include?("head")
  end

  # What the app answers, and the list of what it got.
  class App
    attr_reader :heard

    def initialize
      @heard = Queue.new
    end

    def call(env)
      body = env["rack.input"]&.read.to_s
      request = "#{env["REQUEST_METHOD"]} ".b + env["REQUEST_URI"].b
      @heard << (body.empty? ? request : request + " ".b + body.b)
      case env["PATH_INFO"]
      when %r{\A/status/(\d+)\z} then [Integer($1), {}, []]
      when "/stream" then [200, { "content-type" => "text/plain" }, Stream.new]
      else [200, { "content-type" => "text/plain" }, ["ok"]]
      end
    end

    # A body without a length.
    class Stream
      def each
        yield "a"
        yield "b"
      end
    end
  end

  module_function

  def cases
    Dir["#{DIRECTORY}/*.yml"].flat_map do |path|
      YAML.safe_load_file(path).map { |entry| read(File.basename(path, ".yml"), entry) }
    end
  end

  def read(file, entry)
    expect = entry.fetch("expect")
    Case.new(
      file:, name: entry.fetch("name"), bytes: bytes(entry.fetch("bytes")), ends: entry["ends"],
      settings: entry.fetch("settings", {}).transform_keys(&:to_sym),
      answers: expect.fetch("answers").map { |answer| answer(answer) },
      requests: expect.fetch("requests", []).map { |text| latin1(text) }, stays: expect["stays"]
    )
  end

  def answer(text)
    status, *words = text.to_s.split
    Answer.new(Integer(status), words)
  end

  def bytes(text)
    return latin1(text) if text.is_a?(String)

    text.sum("".b) { |piece| piece.is_a?(String) ? latin1(piece) : latin1(piece.fetch("repeat")) * piece.fetch("times") }
  end

  # Each character is a byte.
  def latin1(text) = text.encode(Encoding::ISO_8859_1).b
end

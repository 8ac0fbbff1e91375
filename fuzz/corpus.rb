# frozen_string_literal: true

# The corpora of bin/fuzz: as files for libFuzzer, and in the repository one text for each target, an input a line, in which what is
# no printable ASCII is \xNN and a backslash is two.
#
#   ruby fuzz/corpus.rb unpack TARGET DIRECTORY    the inputs of fuzz/corpus/TARGET.txt as files
#   ruby fuzz/corpus.rb seeds TARGET DIRECTORY     the bytes of spec/corpus as files, where the target reads whole requests
#   ruby fuzz/corpus.rb pack TARGET DIRECTORY      the files as fuzz/corpus/TARGET.txt, but for those of spec/corpus

require "digest"
require "fileutils"
require_relative "../spec/support/corpus"

WHOLE_REQUESTS = %w[connection differential guard].freeze

def escape(bytes) = bytes.b.gsub(/[^ -\[\]-~]/n) { |byte| byte == "\\" ? "\\\\" : format("\\x%02X", byte.ord) }

def unescape(line) = line.b.gsub(/\\(?:x(\h\h)|\\)/n) { $1 ? $1.hex.chr : "\\" }

def write(directory, inputs)
  FileUtils.mkdir_p(directory)
  inputs.each { |bytes| File.binwrite("#{directory}/#{Digest::SHA1.hexdigest(bytes)}", bytes) }
end

def seeds(target)
  return [] unless WHOLE_REQUESTS.include?(target)

  Corpus.cases.map(&:bytes).uniq.reject { |bytes| bytes.empty? || bytes.bytesize > 4096 }
end

command, target, directory = ARGV
text = "#{__dir__}/corpus/#{target}.txt"
case command
when "unpack" then write(directory, File.exist?(text) ? File.readlines(text, chomp: true).map { |line| unescape(line) } : [])
when "seeds" then write(directory, seeds(target))
when "pack"
  inputs = Dir["#{directory}/*"].map { |path| File.binread(path) } - seeds(target)
  File.write(text, inputs.map { |bytes| "#{escape(bytes)}\n" }.sort.join)
end

# frozen_string_literal: true

# What bin/oldest-ruby runs in that Ruby: parses every file, loads the library, runs specs that need neither threads nor
# sockets nor processes, which there are none of there. ARGUMENTS are the working copy, the directories to load from, and
# the specs after "--".

root, *rest = ARGUMENTS
directories, specs = rest.slice_after("--").to_a
directories.pop

# Of the standard library's parts that such a Ruby has not, what is named when a file is loaded.
[
  ["socket", <<~SOCKET],
    class BasicSocket < IO; end
    class TCPSocket < BasicSocket; end
    class UNIXSocket < BasicSocket; end
    class Socket < BasicSocket
      def self.ip_address_list = []
      def self.gethostname = "here"
    end
    Addrinfo = Class.new
  SOCKET
  ["etc", "module Etc; def self.nprocessors = 1; end"]
].each { |name, text| File.write("/tmp/#{name}.rb", text) }
$LOAD_PATH.unshift "#{root}/lib", "#{root}/spec", *directories, "/tmp"
Dir.chdir(root)

files = Dir["#{root}/**/*"].select { |path| File.file?(path) } - ["#{root}/spec/fixtures/syntax_error.ru"]
broken = files.reject do |path|
  RubyVM::InstructionSequence.compile(File.read(path), path, path)
rescue SyntaxError => error
  $stderr.puts error.message
  false
end
puts "#{RUBY_DESCRIPTION}: #{files.size} files parsed, #{broken.size} of them with errors"

require "tidegate"
# These need what is not there: the extension, Capybara, Rackup.
left_out = %w[native capybara rack_default railtie].map { |name| "#{root}/lib/tidegate/#{name}.rb" }
unloaded = (Dir["#{root}/lib/tidegate/**/*.rb"] - left_out).reject do |path|
  require path.delete_prefix("#{root}/lib/").delete_suffix(".rb")
  true
rescue Exception => error # rubocop:disable Lint/RescueException
  $stderr.puts "#{path}: #{error.full_message(highlight: false)}"
  false
end

require "rspec/core"
status = RSpec::Core::Runner.run(["--no-color", "--default-path", "#{root}/spec", "-rspec_helper", *specs], $stderr, $stdout)
[broken, unloaded].all?(&:empty?) && status.zero?

# frozen_string_literal: true

require "json"
require "net/http"
require "open3"
require "tempfile"
require_relative "../support/servers"

# A workload: an app, and the requests that wrk sends it. The app is bench/workloads/NAME.ru or that of
# examples/NAME; the requests are GET /, or what bench/workloads/NAME.lua says.
module Comparison
  # What wrk measured: latencies in milliseconds.
  Sample = Struct.new(:requests, :seconds, :p50, :p99, :errors, keyword_init: true) do
    def rate = requests / seconds
  end

  class Workload
    DIR = File.expand_path("../workloads", __dir__)

    def self.all
      files = Dir["#{DIR}/*.ru"].to_h { |file| [File.basename(file, ".ru"), file] }
      Dir["#{Rig::ROOT}/examples/*/config.ru"].to_h { |file| [File.basename(File.dirname(file)), file] }.merge(files)
    end

    def self.names = all.keys.sort

    attr_reader :name, :app

    def initialize(name)
      @name = name
      @app = self.class.all.fetch(name) { raise Rig::Unavailable, "no workload #{name.inspect}: #{self.class.names.join(', ')}" }
    end

    # What Rails puts into a form, new each time.
    TOKEN = /[\w-]{86}/

    # What the app answers to GET /: the same from every server, or they are not doing the same work.
    def answer(server)
      response = Net::HTTP.new(server.host, server.port, nil).get("/")
      [response.code, response.body.gsub(TOKEN, "token")]
    end

    # Asks for `seconds` over that many keep-alive connections, as fast as the answers come.
    def load(address, connections:, seconds:)
      scripts = [File.join(DIR, "#{@name}.lua"), File.join(DIR, "report.lua")].select { |file| File.exist?(file) }
      lua = scripts.map { |file| "dofile(#{file.dump})" }.join("\n")
      output = with_file(lua) do |script|
        wrk("-t1", "-c#{connections}", "-d#{seconds}s", "--timeout", "5s", "-s", script, "http://#{address}/")
      end
      Sample.new(**JSON.parse(output[/^result (.*)$/, 1], symbolize_names: true))
    end

    private

    def with_file(text)
      Tempfile.create(["wrk", ".lua"]) do |file|
        file.write(text)
        file.close
        yield file.path
      end
    end

    def wrk(*arguments)
      output, status = Open3.capture2e("wrk", *arguments)
      status.success? && output.include?("result {") ? output : raise(Rig::Unavailable, "wrk failed: #{output.lines.last}")
    rescue Errno::ENOENT
      raise Rig::Missing, "wrk is not here: bin/setup test"
    end
  end
end

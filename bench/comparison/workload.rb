# frozen_string_literal: true

require "net/http"
require "yaml"
require_relative "../support/servers"

# A workload: an app, and the clients that ask it. bench/workloads/NAME.yml says both.
#
#   app       the config.ru, beside that file or from there
#   clients   by name, what bench/load knows of a group: connections, method, path, headers, body_bytes, keep_alive,
#             rate (per second, by the clock), pause and mix (by name, requests that differ in path, and how often each
#             comes, its share; they are measured apart); one named "all" that asks GET / unless it says otherwise
#   idle      connections that ask once and keep still, beside those
#   best_by   what the thread count of the server compared with is chosen by
module Comparison
  class Workload
    DIR = File.expand_path("../workloads", __dir__)
    KEYS = %w[app clients idle best_by].freeze
    BEST_BY = %w[all.rate all.p99].freeze

    def self.names = Dir["#{DIR}/*.yml"].map { |file| File.basename(file, ".yml") }.sort

    def self.find(name, connections: nil)
      file = "#{DIR}/#{name}.yml"
      raise Rig::Unavailable, "no workload #{name.inspect}: #{names.join(', ')}" unless names.include?(name)

      new(name, YAML.safe_load_file(file), connections:)
    end

    attr_reader :name, :app, :clients, :idle, :best_by

    # `connections` are for the clients that do not say how many they have.
    def initialize(name, description, connections: nil)
      unknown = description.keys - KEYS
      raise Rig::Unavailable, "#{name}: unknown key #{unknown.first}" unless unknown.empty?

      @name = name
      @app = File.expand_path(description.fetch("app"), DIR)
      @clients = (description["clients"] || { "all" => {} }).map do |client, settings|
        mix = settings["mix"]&.map { |kind, more| { "name" => kind, **more } }
        { "name" => client, "connections" => connections || 32, **settings, "mix" => mix }.compact
      end
      @idle = description["idle"]
      @best_by = description["best_by"] || BEST_BY
    end

    # The first line of its file, for people.
    def summary
      File.foreach("#{DIR}/#{@name}.yml").take_while { |line| line.start_with?("#") }.map { |line| line.delete_prefix("# ").chomp }.join(" ")
    end

    # Clients in words: "32 connections", or each kind by its name.
    def load
      @clients.map do |client|
        kind = "#{client['name']}: " if @clients.size > 1
        pace = client["rate"] ? ", #{client['rate']}/s by the clock" : ""
        "#{kind}#{client['connections']} #{client['keep_alive'] == false ? 'clients with a new connection each time' : 'connections'}#{pace}"
      end.join("; ")
    end

    # The names of all kinds of request that are measured by themselves.
    def kinds = @clients.flat_map { |client| client["mix"] || [client] }.map { |kind| kind["name"] }

    # What Rails puts into a form, new each time.
    TOKEN = /[\w-]{86}/

    # What the app answers to each kind of client: the same from every server, or they are not doing the same work.
    def answers(server)
      @clients.flat_map { |client| (client["mix"] || [{}]).map { |kind| answer(server, client.merge(kind)) } }
    end

    private

    def answer(server, client)
      request = Net::HTTPGenericRequest.new(client.fetch("method", "GET"), client.key?("body_bytes"), true, client.fetch("path", "/"),
                                            client.fetch("headers", {}).transform_keys(&:to_s))
      request.body = "x" * client["body_bytes"] if client["body_bytes"]
      response = Net::HTTP.new(server.host, server.port, nil).request(request)
      [response.code, response.body.gsub(TOKEN, "token")]
    end
  end
end

# frozen_string_literal: true

# Agoo's own executable reads config.ru without its name, so that what the app requires beside itself is not found. This starts it:
# HOST PORT THREADS WORKERS APP.
host, port, threads, workers, app = ARGV
require "rack"
require "agoo"

Agoo::Log.configure(dir: "", console: true, classic: true, colorize: false, states: { INFO: false, connect: false, request: false, response: false, eval: false, push: false })
Agoo::Server.init(Integer(port), File.dirname(app), bind: ["http://#{host}:#{port}"], thread_count: Integer(threads), worker_count: Integer(workers), root_first: false)
loaded = Rack::Builder.parse_file(app)
Agoo::Server.handle(nil, "**", loaded.is_a?(Array) ? loaded.first : loaded)
Agoo::Server.start
sleep

# frozen_string_literal: true

# A bare Rack app below the middleware that Rack ships, each between two Rack::Lint, so that the part that breaks the contract
# is named.
#
#   bin/serve examples/middleware/config.ru
#   curl --compressed localhost:9292/text

require "rack"

FILES = __dir__

# A body with `each`, and `to_path` where there was one. Rack::Lint iterates an Array twice to compare, and a second Lint
# below it takes that for a use after the end.
class Plain
  Body = Struct.new(:body) do
    def each(&) = body.each(&)

    def close = body.respond_to?(:close) && body.close

    def respond_to_missing?(name, *) = name == :to_path && body.respond_to?(name)

    def method_missing(name, *) = name == :to_path ? body.to_path : super
  end

  def initialize(app) = @app = app

  def call(env) = @app.call(env).then { |status, headers, body| [status, headers, Body.new(body)] }
end

def linted(...)
  use Plain
  use Rack::Lint
  use(...)
end

linted Rack::Runtime
linted Rack::CommonLogger, $stderr if ENV["LOG"]
linted Rack::Sendfile, ENV.fetch("SENDFILE", nil)
linted Rack::ShowExceptions
linted Rack::MethodOverride
linted Rack::Head
linted Rack::ConditionalGet
linted Rack::Static, urls: ["/config.ru"], root: FILES
linted Rack::Deflater, include: %w[text/plain]
linted Rack::TempfileReaper
linted Rack::ContentType, "text/plain"
# These two look only at Arrays, and pass them on as such.
linted Rack::ContentLength
use Rack::Lint
use Rack::ETag
use Rack::Lint

# A body that yields.
Lines = Struct.new(:count) do
  def each = count.times { |number| yield "line #{number}\n" }
end

run(lambda do |env|
  request = Rack::Request.new(env)
  case request.path_info
  when "/text" then [200, {}, ["text " * 1000]]
  when "/lines" then [200, {}, Lines.new(1000)]
  when "/file" then Rack::Files.new(FILES).call(env.merge("PATH_INFO" => "/config.ru"))
  when "/upload"
    file = request.POST["file"]
    [200, {}, ["#{request.request_method} #{file[:filename]} #{file[:tempfile].read.bytesize}"]]
  when "/method" then [200, {}, [request.request_method]]
  when "/error" then raise "on purpose"
  else [404, {}, ["no\n"]]
  end
end)

# frozen_string_literal: true

# A small Sinatra 4 app, with a page and two kinds of stream.
#
#   ruby -Ilib exe/tidegate examples/sinatra/config.ru     with the gem installed, as bin/setup test does on Debian
#   curl -N localhost:9292/stream

require "sinatra/base"

class Small < Sinatra::Base
  set :host_authorization, { permitted_hosts: [] }

  get("/") { "Hello from Sinatra\n" }

  get "/greet/:name" do
    erb "<h1>Hello, <%= name %></h1>\n", locals: { name: Rack::Utils.escape_html(params[:name]) }
  end

  post("/sum") { params.values.sum(&:to_i).to_s }

  get "/stream" do
    stream do |out|
      3.times do |number|
        out << "line #{number}\n"
        sleep params.fetch(:wait, 0.5).to_f
      end
    end
  end

  get "/events", provides: "text/event-stream" do
    stream(:keep_open) do |out|
      out << "data: first\n\n"
      out << "data: second\n\n"
      out.close
    end
  end
end

run Small

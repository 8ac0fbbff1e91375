# frozen_string_literal: true

# Answers a JSON document of 1 KiB made for each request: a little Ruby work.
require "json"

ROWS = Array.new(12) { |n| { id: n, name: "item #{n}", price: n * 1.25, tags: %w[red green blue], stock: n.even? } }.freeze

run(lambda do |_env|
  body = JSON.generate(items: ROWS, count: ROWS.size)
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
end)

# frozen_string_literal: true

# Answers a JSON document of about 10 KiB made for each request: some Ruby work, a larger body.
require "json"

ROWS = Array.new(100) { |n| { id: n, name: "item #{n}", price: n * 1.25, tags: %w[red green blue], stock: n.even? } }.freeze

run(lambda do |_env|
  body = JSON.generate(items: ROWS, count: ROWS.size)
  [200, { "content-type" => "application/json", "content-length" => body.bytesize.to_s }, [body]]
end)

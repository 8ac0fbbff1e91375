# frozen_string_literal: true

# A shop, as far as its metrics go: each path takes time in another way.

large = "x" * (8 * 1024 * 1024)
# A response that has begun is not timed out.
endless = Object.new
def endless.each
  yield "begun\n"
  sleep
end
text = { "content-type" => "text/plain" }.freeze

run lambda { |env|
  case env["PATH_INFO"]
  when "/compute" then 15_000.times { |number| number.to_s }
  when "/wait" then sleep(0.03)
  when "/hang" then sleep
  # No interrupt ends it.
  when "/deaf" then Thread.handle_interrupt(Object => :never) { sleep(30) }
  when "/broken" then next [500, text, ["broken\n"]]
  when "/missing" then next [404, text, ["missing\n"]]
  when "/stream" then next [200, text, endless]
  when "/large" then next [200, text, [large]]
  end
  [200, text, ["ok\n"]]
}

# frozen_string_literal: true

# / computes for 2 ms; /sleep waits for 500 ms, /cpu computes for 500 ms.
require_relative "spin"

run(lambda do |env|
  case env["PATH_INFO"]
  when "/sleep" then sleep(0.5)
  when "/cpu" then Spin.for_ms(500)
  else Spin.for_ms(2)
  end
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)

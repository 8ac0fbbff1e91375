# frozen_string_literal: true

# / and /short compute for 2 ms, /long for 20; /sleep waits for 500 ms, /cpu computes for 500 ms.
require_relative "spin"

run(lambda do |env|
  case env["PATH_INFO"]
  when "/sleep" then sleep(0.5)
  when "/cpu" then Spin.for_ms(500)
  when "/long" then Spin.for_ms(20)
  else Spin.for_ms(2)
  end
  [200, { "content-type" => "text/plain" }, ["done\n"]]
end)

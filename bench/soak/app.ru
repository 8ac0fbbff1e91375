# frozen_string_literal: true

# What the soak asks for: every way in which an app can answer.

require "tempfile"

TEXT = { "content-type" => "text/plain" }.freeze
FILE = Tempfile.create("soak").tap { |file| file.write("f" * 200_000) && file.flush }

# A body that is made while it is sent.
class Parts
  def each = 20.times { |number| yield "part #{number}\n" * 50 }

  def close = nil
end

# The same file each time, closed as servers close it.
class Download
  def each = yield(File.binread(FILE.path))

  def to_path = FILE.path
end

run(lambda do |env|
  case env["PATH_INFO"]
  when "/hello" then [200, TEXT.dup, ["hello"]]
  when "/post" then [200, TEXT.dup, [env["rack.input"].read.bytesize.to_s]]
  when "/each" then [200, TEXT.dup, Parts.new]
  when "/call" then [200, TEXT.dup, ->(stream) { 5.times { |number| stream.write("call #{number}\n") } && stream.close }]
  when "/file" then [200, TEXT.dup, Download.new]
  when "/error" then raise "on purpose"
  when "/wait"
    sleep 0.02
    [200, TEXT.dup, ["waited"]]
  when "/finished"
    env["rack.response_finished"] << ->(*) {}
    env["rack.after_reply"] << -> {}
    [200, TEXT.dup, ["finished"]]
  when "/hints"
    env["rack.early_hints"].call({ "link" => "</a.css>" })
    [200, TEXT.dup, ["hinted"]]
  when "/hijack"
    io = env["rack.hijack"].call
    Thread.new do
      io.write(io.gets)
    rescue SystemCallError, IOError
      nil # the client has gone
    ensure
      io.close
    end
    [-1, {}, []]
  else [404, TEXT.dup, ["no"]]
  end
end)

# frozen_string_literal: true

# A unary call of gRPC as its protocol has it over HTTP/2: a message behind its length each way, and the status in trailers.

RSpec.describe "a gRPC call", :in_process, over: :http2 do
  def message(text) = [0, text.bytesize].pack("CN") + text.b

  # What an app does that speaks gRPC by itself: greets, or fails with a status.
  def greeter
    run_server do |env|
      name = env["rack.input"].read.byteslice(5..)
      headers = { "content-type" => "application/grpc" }
      # Without a message, status and all can go into the head.
      next [200, { **headers, "grpc-status" => "3", "grpc-message" => "no name" }, []] if name.empty?

      body = Enumerator.new do |out|
        out << message("Hello, #{name}")
        env["tidegate.send_trailers"].call({ "grpc-status" => "0", "grpc-message" => "" })
      end
      [200, headers, body]
    end
  end

  def call(client, request)
    client.ask("POST", "/helloworld.Greeter/SayHello", { "content-type" => "application/grpc", "te" => "trailers", "grpc-timeout" => "5S" }, body: message(request))
  end

  it "has its answer, and its status behind that" do
    response = call(connect(greeter), "Ruby")

    expect([response.status, response["content-type"], response["content-length"]]).to eq([200, "application/grpc", nil])
    expect(response.body).to eq(message("Hello, Ruby"))
    expect(response.trailers).to eq([%w[grpc-status 0], ["grpc-message", ""]])
  end

  it "has its status in the head where there is no answer" do
    response = call(connect(greeter), "")

    expect([response.status, response["grpc-status"], response.trailers]).to eq([200, "3", nil])
  end

  it "has no status where the app fails in the middle, so that it is no success" do
    server = run_server do |env|
      env["tidegate.send_trailers"].call({ "grpc-status" => "0" })
      [200, { "content-type" => "application/grpc" }, Enumerator.new { |out| (out << message("Hello")) && raise("on purpose") }]
    end

    expect { call(connect(server), "Ruby") }.to raise_error(HTTPResponse::Cut, /internal_error/)
  end
end

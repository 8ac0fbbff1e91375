# frozen_string_literal: true

# What is refused is in spec/corpus; here is how.

RSpec.describe "a request that is no proper HTTP", :in_process do
  let(:server) { run_server { [200, { "content-type" => "text/plain" }, ["ok"]] } }

  it "that goes on in HTTP/2 is refused" do
    wire = connect(server)
    wire.write("GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
    expect(wire.response.status).to eq(200)
    wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    expect(wire.response.status).to eq(505)
    expect(wire).to be_eof
  end

  it "is refused so that the client can read why, even while it is still sending" do
    wire = connect(server)
    wire.write("POST / HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n")
    wire.write("x" * 1_000_000)

    expect(wire.response.status).to eq(400)
    expect(wire).to be_eof
  end

  it "is no error in the log" do
    connect(server).write("NONSENSE\r\n\r\n").response

    expect(errors.to_s).to eq("")
  end
end

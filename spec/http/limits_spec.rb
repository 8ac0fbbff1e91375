# frozen_string_literal: true

RSpec.describe "a request beyond the limits", :in_process do
  def reading(**)
    run_server(**) { |env| [200, { "content-type" => "text/plain" }, [env["rack.input"].read.bytesize.to_s]] }
  end

  describe "of the head" do
    it "is answered with 431 and closed when a header is too long" do
      wire = connect(reading)
      wire.write("GET / HTTP/1.1\r\nHost: a\r\nX-Long: #{"x" * 2_000_000}\r\n\r\n") rescue nil # rubocop:disable Style/RescueModifier -- it may be closed before all is sent

      expect(wire.response.status).to eq(431)
      expect(wire).to be_eof
    end

    it "is answered with 431 and closed when there are too many headers" do
      wire = connect(reading)
      wire.write("GET / HTTP/1.1\r\nHost: a\r\n#{"X-Many: 1\r\n" * 5000}\r\n")

      expect(wire.response.status).to eq(431)
      expect(wire).to be_eof
    end

    it "does not come with a thousand headers, and is told from the one that is too many" do
      wire = connect(reading)
      head = ->(count) { "GET / HTTP/1.1\r\nHost: a\r\n#{"X-Many: 1\r\n" * (count - 1)}\r\n" }
      2.times { expect(wire.write(head[1000]).response.status).to eq(200) }

      expect(wire.write(head[1001]).response.status).to eq(431)
      expect(wire).to be_eof
    end

    it "is where the settings say" do
      server = reading(header_fields_limit: 3, head_limit: 200)
      answer = ->(fields) { connect(server).write("GET / HTTP/1.1\r\nHost: a\r\n#{fields}\r\n").response.status }

      expect([answer["A: 1\r\nB: 1\r\n"], answer["A: 1\r\nB: 1\r\nC: 1\r\n"]]).to eq([200, 431])
      expect([answer["A: #{"x" * 150}\r\n"], answer["A: #{"x" * 200}\r\n"]]).to eq([200, 431])
    end

    it "is answered with 414 or 431 and closed when the target is too long" do
      wire = connect(reading)
      wire.write("GET /#{"x" * 1_000_000} HTTP/1.1\r\nHost: a\r\n\r\n")

      expect([414, 431]).to include(wire.response.status)
      expect(wire).to be_eof
    end

    it "does not come with many cookies and a long query" do
      wire = connect(reading)

      expect(wire.get("/?#{"q" * 7000}", { "cookie" => Array.new(30) { "c" * 250 } }).status).to eq(200)
    end
  end

  describe "of the body" do
    it "is answered with 413 and closed when its length is announced, before any of it is sent" do
      wire = connect(reading(http_content_length_limit: 1000))
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")

      expect(wire.response.status).to eq(413)
      expect(wire).to be_eof
    end

    it "is answered with 413 and closed when its chunks become too many" do
      wire = connect(reading(http_content_length_limit: 1000))
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
      wire.write("1f4\r\n#{"x" * 500}\r\n").write("1f5\r\n#{"x" * 501}\r\n")

      expect(wire.response.status).to eq(413)
      expect(wire).to be_eof
    end

    it "is told to a client that sends all of it before it reads" do
      wire = connect(reading(http_content_length_limit: 1000))
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n#{"x" * 300_000}")

      expect(wire.response.status).to eq(413)
    end

    it "is no error for one byte less" do
      wire = connect(reading(http_content_length_limit: 1000))

      expect(wire.post("/", "x" * 1000).body).to eq("1000")
      expect(wire.get("/").body).to eq("0")
    end

    it "needs no 100 first" do
      wire = connect(reading(http_content_length_limit: 1000))
      wire.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n")

      expect(wire.response.status).to eq(413)
    end
  end
end

# frozen_string_literal: true

# Cases of HTTP/2's conformance as a table: each has a name, the section that it comes from, what is sent and what may be answered.
# spec/http2/conformance has the cases, spec/http2/conformance_spec.rb runs them.

module Conformance
  # +expect+ is :connection_error, :stream_error, :any_error, :refused, :closed or :fine; +errors+ are the codes that are allowed; the block gets an
  # HTTP2Wire, sends, and for :stream_error returns the stream, for :fine what is wrong, or nothing.
  Case = Struct.new(:section, :name, :expect, :errors, :handshake, :sends)

  @cases = []

  class << self
    attr_reader :cases

    # The cases of a section: the block calls what is below.
    def section(number, &) = Section.new(number).instance_eval(&)
  end

  # What a file of cases says.
  class Section
    def initialize(number) = @number = number

    # A GOAWAY with one of these errors has to come, and then the end of the connection.
    def connection_error(name, *errors, handshake: true, &sends) = add(name, :connection_error, errors, handshake, sends)

    # An RST_STREAM with one of these errors has to come on the stream that the block returns, and the connection has to go on.
    def stream_error(name, *errors, &sends) = add(name, :stream_error, errors, true, sends)

    # An RST_STREAM with one of these errors, or an answer that the request is no good.
    def refused(name, *errors, &sends) = add(name, :refused, errors, true, sends)

    # Either: RFC 9113 lets a server take an error of a stream for one of the connection (5.4.2), and a stream it has forgotten for closed.
    def any_error(name, *errors, &sends) = add(name, :any_error, errors, true, sends)

    # The connection has to end, with a GOAWAY or without.
    def closed(name, handshake: true, &sends) = add(name, :closed, [], handshake, sends)

    # The block looks at the answers itself and returns what is wrong with them, or nothing; then the connection has to go on. It returns
    # :over where nothing is wrong and the client has ended the connection itself.
    def fine(name, handshake: true, &sends) = add(name, :fine, [], handshake, sends)

    private

    def add(name, expect, errors, handshake, sends)
      Conformance.cases << Case.new(@number, name, expect, errors, handshake, sends)
    end
  end

  module_function

  # What is wrong with how the server at +address+ takes a case; nil if nothing is. +options+ are those of HTTP2Wire.open.
  def fault(kase, address, **options)
    HTTP2Wire.open(address, handshake: kase.handshake, **options) do |client|
      begin
        result = kase.sends.call(client)
      rescue Errno::EPIPE, Errno::ECONNRESET # the server has said it all before all was sent
        raise if kase.expect == :fine
      end
      Outcome.new(client, kase.errors).public_send(kase.expect, result)
    end
  rescue HTTPResponse::Cut => cut
    "the server ended the connection: #{cut.message}"
  end

  # What came of a case.
  class Outcome
    def initialize(client, errors)
      @client = client
      @errors = errors
    end

    def connection_error(_result)
      goaway = until_goaway or return "no GOAWAY: #{said}"
      return "GOAWAY with #{goaway.error}: #{said}" unless @errors.include?(goaway.error)

      @client.rest
      nil
    end

    def stream_error(stream)
      @client.wait_for(stream, "an RST_STREAM on #{stream}", &:reset)
      reset = @client.stream(stream).reset
      @errors.include?(reset) ? goes_on : "RST_STREAM with #{reset}: #{said}"
    end

    def refused(stream)
      response = @client.response(stream)
      return if response.reset && @errors.include?(response.reset)

      "#{response.reset || response.status}: #{said}" unless [400, 431, 501].include?(response.status)
    end

    def any_error(stream)
      until (error = @client.goaways.first&.error || @client.stream(stream).reset)
        @client.next_frame or return "no error: #{said}"
      end
      "#{error}: #{said}" unless @errors.include?(error)
    end

    def closed(_result)
      @client.wire.rest
      nil
    rescue HTTPResponse::Cut
      nil
    end

    def fine(result) = result == :over ? nil : result || goes_on

    private

    def until_goaway
      until @client.goaways.any?
        @client.next_frame or return
      end
      @client.goaways.first
    end

    # A case must leave nothing behind that breaks another request.
    def goes_on
      response = @client.get("/")
      "the next request got #{response.status || response.reset}: #{said}" unless response.status == 200 && response.ended
    end

    def said = @client.log.last(8).join("; ")
  end
end

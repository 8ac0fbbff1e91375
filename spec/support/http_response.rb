# frozen_string_literal: true

# An HTTP/1.1 response as it came over the wire, read strictly: what is not whole is an error that says what was
# missing. Reads from anything that has `line` and `bytes(count)` and `rest`, as Wire has.

class HTTPResponse
  attr_reader :version, :status, :reason, :headers, :body

  # The rest of a message that ended too early.
  class Cut < StandardError
    # What came of the body.
    attr_reader :partial

    def initialize(message, partial = nil)
      super(message)
      @partial = partial
    end
  end

  # What came behind the last chunk: names to values, joined.
  attr_reader :trailers

  # Reads one response. +head+ when it answers a HEAD request and has no body whatever it says; +trailers+ when something may come
  # behind the last chunk.
  def self.read(source, head: false, trailers: false)
    status_line = source.line
    match = %r{\AHTTP/(?<version>1\.[01]) (?<status>\d{3}) (?<reason>.*)\z}.match(status_line)
    raise "not a status line: #{status_line.inspect}" unless match

    new(match[:version], match[:status].to_i, match[:reason], read_headers(source)).tap { |it| it.read_body(source, head, trailers) }
  end

  def self.read_headers(source)
    headers = Hash.new { |hash, name| hash[name] = [] }
    until (line = source.line).empty?
      name, value = line.split(":", 2)
      raise "not a header: #{line.inspect}" unless value && name.match?(/\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\z/)

      headers[name.downcase] << value.strip
    end
    headers.default = nil
    headers
  end

  def initialize(version, status, reason, headers)
    @version = version
    @status = status
    @reason = reason
    @headers = headers
    @body = +"".b
  end

  # The values of a header as one text; nil when it is not there.
  def [](name) = @headers[name]&.join(", ")

  def close? = self["connection"]&.downcase == "close"

  def chunked? = self["transfer-encoding"]&.downcase == "chunked"

  def read_body(source, head, trailers = false)
    return if head || status == 204 || status == 304 || status < 200
    raise "both transfer-encoding and content-length: #{headers}" if chunked? && self["content-length"]

    @trailers = {}
    if chunked? then read_chunks(source, trailers)
    elsif self["content-length"] then take(source, length)
    else @body << source.rest
    end
  end

  private

  def length
    text = self["content-length"]
    text.match?(/\A\d+\z/) ? text.to_i : raise("not a length: #{text.inspect}")
  end

  def read_chunks(source, trailers)
    loop do
      size = Integer(line(source)[/\A\h+/] || raise("not a chunk size"), 16)
      return @trailers = self.class.read_headers(source).transform_values { |values| values.join(", ") } if size.zero? && trailers

      take(source, size)
      ending = line(source)
      raise "a chunk of #{size} bytes is followed by #{ending.inspect}" unless ending.empty?
      return if size.zero?
    end
  end

  def line(source)
    source.line
  rescue Cut => cut
    raise Cut.new("#{cut.message}, in a chunked body", body)
  end

  def take(source, count)
    @body << source.bytes(count)
  rescue Cut => cut
    @body << cut.partial.to_s
    raise Cut.new(cut.message, body)
  end
end

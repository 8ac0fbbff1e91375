# frozen_string_literal: true

require_relative "client"
require_relative "../app/contents"

# Clients that ask for something and know what has to come.
module Rollout
  module Clients
    class Get < Client
      private

      def exchange = @connection.request("GET", @path, within: @within)

      def good?(body) = body == Contents::BY_PATH.fetch(@path).b
    end

    # Reads a large body bit by bit, through a small receive buffer, so that the server has to wait for it.
    class Reader < Get
      RECEIVE_BUFFER = 128 * 1024
      SECONDS = 1.5

      private

      def open = Connection.open(@host, @port, within: @within, receive_buffer: RECEIVE_BUFFER)

      def exchange
        @connection.limit = @within
        @connection.send_head("GET", @path)
        response = @connection.read_head
        began_at = now
        response.body = @connection.read_body(response) do |bytes|
          pause = began_at + SECONDS * bytes / response.length - now
          sleep(pause) if pause.positive?
        end
        response
      end

      def good?(body) = Digest::SHA256.digest(body) == Contents::LARGE_DIGEST
    end
  end
end

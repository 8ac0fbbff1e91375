# frozen_string_literal: true

# A large download that is made while it is sent.
class ExportsController < ApplicationController
  def show
    headers["content-type"] = "text/csv"
    headers["last-modified"] = Time.now.httpdate
    self.response_body = Enumerator.new do |lines|
      lines << "number,square\n"
      (1..10_000).each { |number| lines << "#{number},#{number * number}\n" }
    end
  end
end

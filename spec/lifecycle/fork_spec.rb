# frozen_string_literal: true

RSpec.describe "an app that forks in a request", :processes do
  # The child went on as a worker that waited for requests, and its parent for its end.
  it "is answered by the parent alone, and the child that comes back from the app ends" do
    server = serve("forks.ru")

    server.connect do |wire|
      2.times { expect(wire.get("/").body).to eq("parent of one that ended with 0") }
    end
    server.signal(:TERM)
    expect(server.exit_status).to eq(0)
  end
end

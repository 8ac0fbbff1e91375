# frozen_string_literal: true

# What the operator sees of an app's exceptions where a process has little left.

RSpec.describe "an app's exception in a process of its own", :processes do
  # What makes words of it was loaded when the first one came: that raised instead, and nothing was told of either.
  [[], ["--log-format", "json"]].each do |options|
    it "is told of where no file can be opened any more#{", as JSON" if options.any?}" do
      server = serve("no_descriptors.ru", *options)

      expect(server.connect.get("/").status).to eq(500)
      expect(server.wait_for_line(/GET \/ raised RuntimeError: on purpose/)).to be_truthy
    end
  end
end

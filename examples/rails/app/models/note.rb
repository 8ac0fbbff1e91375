# frozen_string_literal: true

# A text with perhaps a file.
class Note < ApplicationRecord
  validates :text, presence: true

  after_create_commit { ActionCable.server.broadcast("notes", { id:, text: }) }
end

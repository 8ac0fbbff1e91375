# frozen_string_literal: true

# Forms, uploads and downloads.
class NotesController < ApplicationController
  def index
    @notes = Note.order(:id).last(20)
  end

  def show
    @note = Note.find(params[:id])
  end

  def create
    upload = params[:file]
    note = Note.create!(text: params[:text], attachment: upload&.read, filename: upload&.original_filename)
    redirect_to note, notice: "saved"
  end

  def destroy
    Note.find(params[:id]).destroy
    redirect_to root_path
  end

  # The file goes by way of the disk, so that send_file has one to send.
  def attachment
    note = Note.find(params[:id])
    file = Rails.root.join("tmp", "note-#{note.id}")
    FileUtils.mkdir_p(file.dirname)
    file.binwrite(note.attachment)
    send_file file, filename: note.filename, type: "application/octet-stream"
  end
end

using System.CommandLine;
using System.Text;
using Flint.App.Serving;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.App.Cli;

/// <summary><c>flint tokenize</c> and <c>flint detokenize</c>: text to token ids and back, with a model's own vocabulary.</summary>
internal static class Tokenize
{
    internal static Command Create()
    {
        var model = Verb.Model();
        var file = Verb.InputFile("The text, UTF-8; - reads standard input.");
        var noBos = new Option<bool>("--no-bos") { Description = "Add no token at the beginning or end, whatever the model's file says." };
        var noSpecial = new Option<bool>("--no-special") { Description = "Read special tokens written in the text, such as <|eot|>, as ordinary text." };
        var command = new Command("tokenize", "Print the token ids of a text as a JSON array.") { model, file, noBos, noSpecial };
        command.SetAction(parsed =>
        {
            Tokenizer tokenizer = Load(parsed.GetValue(model));
            string text = Encoding.UTF8.GetString(Verb.ReadInput(parsed.GetRequiredValue(file)));
            int[] ids = tokenizer.Encode(text, addSpecial: !parsed.GetValue(noBos), parseSpecial: !parsed.GetValue(noSpecial));
            Console.WriteLine($"[{string.Join(',', ids)}]");
        });
        return command;
    }

    /// <summary>The tokenizer alone of a model, which may be a file of a vocabulary without weights.</summary>
    internal static Tokenizer Load(string? model)
    {
        using GgufFile file = GgufFile.Open(ModelLocator.Find(model));
        return Tokenizer.FromGguf(file.Metadata);
    }
}

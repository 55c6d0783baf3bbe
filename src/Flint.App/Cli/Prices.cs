using System.CommandLine;
using Flint.App.Accounts;

namespace Flint.App.Cli;

/// <summary><c>flint prices</c>: what the tokens of a model cost.</summary>
internal static class Prices
{
    /// <summary>The verb.</summary>
    public static Command Create() => new("prices", "What a million tokens of each model cost, in a unit of money of your choice.") { DataOption.Address, CreateSet(), CreateList(), CreateRemove() };

    private static Command CreateSet()
    {
        Argument<string> model = Model();
        var input = new Option<string>("--input") { HelpName = "AMOUNT", Required = true, Description = "Price of a million tokens of prompts, such as 0.25." };
        var cached = new Option<string?>("--cached") { HelpName = "AMOUNT", Description = "Price of a million tokens of prompts that the prefix cache had (default: as --input)." };
        var output = new Option<string>("--output") { HelpName = "AMOUNT", Required = true, Description = "Price of a million tokens that the model writes." };
        Option<string?> data = DataOption.Create();
        var command = new Command("set", "Set a model's price, for requests from now on, in running servers too.") { model, input, cached, output, data };
        command.SetAction(parsed =>
        {
            Open(parsed, data).Set(new Price
            {
                Model = parsed.GetValue(model)!,
                Input = Money.Parse(parsed.GetValue(input)!),
                CachedInput = Money.Parse(parsed.GetValue(cached) ?? parsed.GetValue(input)!),
                Output = Money.Parse(parsed.GetValue(output)!),
            });
            return 0;
        });
        return command;
    }

    private static Command CreateList()
    {
        Option<string?> data = DataOption.Create();
        var command = new Command("list", "List prices of a million tokens.") { data };
        command.SetAction(parsed =>
        {
            TextTable.Write(Console.Out, ["MODEL", "INPUT", "CACHED", "OUTPUT"],
                Open(parsed, data).List().Select(p => new[] { p.Model, Money.Text(p.Input), Money.Text(p.CachedInput), Money.Text(p.Output) }));
            return 0;
        });
        return command;
    }

    private static Command CreateRemove()
    {
        Argument<string> model = Model();
        Option<string?> data = DataOption.Create();
        var command = new Command("remove", "Take a model's price away: it costs nothing.") { model, data };
        command.SetAction(parsed =>
        {
            Open(parsed, data).Remove(parsed.GetValue(model)!);
            return 0;
        });
        return command;
    }

    private static Argument<string> Model() => new("MODEL") { Description = "Its name in the API; a star at the end stands for any ending. The longest entry that fits a name counts." };

    private static Accounts.Prices Open(ParseResult parsed, Option<string?> data) => new(DataOption.Open(parsed, data));
}
